# hocket_add_rust_staticlib(<target> MANIFEST <Cargo.toml> LIB <libname.a>)
# makes <target>, a static library that cargo builds and that other targets link. Crates are compiled in a folder of
# the dependency cache, so a second clean clone is quick; the library itself is copied into the build folder.

set(HOCKET_RUST_TARGET_DIR "${HOCKET_CACHE_DIR}/rust-target" CACHE PATH "Where cargo keeps what it compiled")

# The fuzzer's eyes: which branches ran, and what was compared. For the named target only, so that
# build scripts, which have no fuzzer to link, are left alone.
set(HOCKET_RUST_TRIPLE "")
set(HOCKET_RUST_FLAGS "")
if(HOCKET_FUZZ)
  execute_process(COMMAND rustc -vV OUTPUT_VARIABLE rustc_version)
  string(REGEX MATCH "host: ([^\n]+)" unused "${rustc_version}")
  set(HOCKET_RUST_TRIPLE ${CMAKE_MATCH_1})
  set(HOCKET_RUST_FLAGS "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cforce-frame-pointers=yes")
endif()

function(hocket_add_rust_staticlib target)
  cmake_parse_arguments(ARG "" "MANIFEST;LIB" "" ${ARGN})
  find_program(HOCKET_CARGO cargo HINTS $ENV{HOME}/.cargo/bin)
  if(NOT HOCKET_CARGO)
    message(FATAL_ERROR "cargo was not found. Run ./dev setup, or install Rust 1.87 or later.")
  endif()
  cmake_path(ABSOLUTE_PATH ARG_MANIFEST BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE)
  cmake_path(GET ARG_MANIFEST PARENT_PATH crate)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${crate}/src/*.rs ${crate}/build.rs)
  set(library ${CMAKE_BINARY_DIR}/rust/${ARG_LIB})

  add_custom_command(
    OUTPUT ${library}
    COMMAND ${CMAKE_COMMAND} -DCARGO=${HOCKET_CARGO} -DMANIFEST=${ARG_MANIFEST}
            -DTARGET_DIR=${HOCKET_RUST_TARGET_DIR} -DLIB=${ARG_LIB} -DOUT=${library}
            -DTRIPLE=${HOCKET_RUST_TRIPLE} -DFLAGS=${HOCKET_RUST_FLAGS}
            -P ${PROJECT_SOURCE_DIR}/cmake/CargoBuild.cmake
    DEPENDS ${sources} ${ARG_MANIFEST} ${crate}/Cargo.lock ${PROJECT_SOURCE_DIR}/cmake/CargoBuild.cmake
    COMMENT "cargo build ${ARG_LIB} (about 2 minutes the first time)"
    USES_TERMINAL VERBATIM)
  add_custom_target(${target}_cargo DEPENDS ${library})

  add_library(${target} STATIC IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES
    IMPORTED_LOCATION ${library}
    INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};m")
  add_dependencies(${target} ${target}_cargo)
endfunction()
