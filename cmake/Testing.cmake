# hocket_add_test(<name> SOURCES <file>... [LIBS <target>...] [TIMEOUT_S <seconds>] [ARGS <argument>...])
# makes the GoogleTest executable <name> and registers it as one ctest test (one process: a suite's fixtures are loaded
# once). Each run leaves <build>/test-results/<name>.xml, from which "./dev test" sums the cases.
# Tests see HOCKET_SOURCE_DIR (a macro) for files in the tree and HOCKET_BUILD_DIR for what was built.

set(HOCKET_TEST_RESULTS ${CMAKE_BINARY_DIR}/test-results)

function(hocket_add_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT_S" "SOURCES;LIBS;ARGS" ${ARGN})
  if(NOT ARG_TIMEOUT_S)
    set(ARG_TIMEOUT_S 300)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gmock GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE
    HOCKET_SOURCE_DIR="${PROJECT_SOURCE_DIR}" HOCKET_BUILD_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name} --gtest_output=xml:${HOCKET_TEST_RESULTS}/${name}.xml ${ARG_ARGS}
           WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT_S} LABELS gtest
                       ENVIRONMENT GOMP_SPINCOUNT=1000) # As the binary sets it: see docs/architecture.md.
endfunction()
