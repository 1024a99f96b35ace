# Runs cargo and copies the library out. The target folder may be shared by several clones, so one at a time.
file(MAKE_DIRECTORY ${TARGET_DIR})
file(LOCK ${TARGET_DIR}/hocket.lock GUARD PROCESS TIMEOUT 1800)
set(built ${TARGET_DIR}/release)
if(TRIPLE)
  set(built ${TARGET_DIR}/${TRIPLE}/release)
  set(ENV{CARGO_BUILD_TARGET} ${TRIPLE})
  set(ENV{RUSTFLAGS} "${FLAGS}")
endif()
execute_process(
  COMMAND ${CARGO} build --release --locked --manifest-path ${MANIFEST} --target-dir ${TARGET_DIR}
  RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "cargo build of ${MANIFEST} failed (${status}). Hocket needs Rust 1.87 or later: ./dev setup installs it.")
endif()
get_filename_component(folder ${OUT} DIRECTORY)
file(MAKE_DIRECTORY ${folder})
execute_process(COMMAND ${CMAKE_COMMAND} -E copy ${built}/${LIB} ${OUT} RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "cargo made no ${built}/${LIB}")
endif()
# The build system compares times, and cargo keeps the old time when nothing changed.
execute_process(COMMAND ${CMAKE_COMMAND} -E touch ${OUT})
