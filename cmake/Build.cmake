# How every target is compiled: warnings, optimization, sanitizers, the compiler cache.

set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")
set(CMAKE_C_FLAGS_RELEASE "-O3 -DNDEBUG")

add_compile_options(-Wall -Wextra)

if(HOCKET_SANITIZE)
  add_compile_options(-fsanitize=${HOCKET_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${HOCKET_SANITIZE})
  if(HOCKET_SANITIZE STREQUAL "thread")
    # Protobuf's map fields have a member more where this is defined, and Debian's library was built
    # without it.
    add_compile_options(-U__SANITIZE_THREAD__)
  endif()
endif()
if(HOCKET_FUZZ)
  # A fuzzer stops at the first thing that is wrong.
  add_compile_options(-fno-sanitize-recover=all)
endif()

find_program(HOCKET_CCACHE ccache)
if(HOCKET_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${HOCKET_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${HOCKET_CCACHE})
endif()

# Where things that a second clean clone can reuse are kept.
if(DEFINED ENV{XDG_CACHE_HOME} AND NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
  set(HOCKET_CACHE_DIR "$ENV{XDG_CACHE_HOME}/hocket")
else()
  set(HOCKET_CACHE_DIR "$ENV{HOME}/.cache/hocket")
endif()
