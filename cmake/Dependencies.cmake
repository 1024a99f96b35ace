# Finds what Hocket is built on. Targets that the folders link:
#   DNNL::dnnl  OpenMP::OpenMP_CXX  Threads::Threads  hwy::hwy
#   gRPC::grpc++  gRPC::grpc++_reflection  gRPC::grpcpp_channelz  protobuf::libprotobuf  absl::*
#   OpenSSL::SSL  OpenSSL::Crypto
#   CLI11::CLI11  tomlplusplus::headers  spdlog::spdlog  prometheus-cpp::core  nlohmann_json::nlohmann_json  httplib::httplib
#   GTest::gtest GTest::gmock GTest::gtest_main GTest::gmock_main  benchmark::benchmark
# and the variables HOCKET_PROTOC, HOCKET_GRPC_CPP_PLUGIN, HOCKET_GRPC_PYTHON_PLUGIN, HOCKET_RPC_PROTOS.

set(CMAKE_FIND_PACKAGE_PREFER_CONFIG OFF)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)

include(OneDnn)

find_package(Protobuf REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_program(HOCKET_PROTOC protoc REQUIRED)
find_program(HOCKET_GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
find_program(HOCKET_GRPC_PYTHON_PLUGIN grpc_python_plugin REQUIRED)
# The folder of google/rpc/*.proto, which Debian does not package.
file(GLOB rpc_protos ${HOCKET_CACHE_DIR}/rpc-protos-*)
list(SORT rpc_protos COMPARE NATURAL ORDER DESCENDING)
find_path(HOCKET_RPC_PROTOS google/rpc/error_details.proto HINTS ${rpc_protos})
if(NOT HOCKET_RPC_PROTOS)
  message(FATAL_ERROR "google/rpc/error_details.proto was not found. Run ./dev setup, or give -DHOCKET_RPC_PROTOS=<its folder>.")
endif()

find_package(hwy CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)

# Headers only: its compiled library would be one more thing to ship.
find_path(HOCKET_TOML_INCLUDE toml++/toml.h REQUIRED)
add_library(tomlplusplus::headers INTERFACE IMPORTED GLOBAL)
target_include_directories(tomlplusplus::headers SYSTEM INTERFACE ${HOCKET_TOML_INCLUDE})

# prometheus-cpp's own config also asks for its pull and push parts' dependencies; only core is used.
if(NOT TARGET prometheus-cpp::core)
  pkg_check_modules(prometheus_core REQUIRED IMPORTED_TARGET GLOBAL prometheus-cpp-core)
  add_library(prometheus-cpp::core ALIAS PkgConfig::prometheus_core)
endif()

if(NOT TARGET httplib::httplib)
  pkg_check_modules(httplib REQUIRED IMPORTED_TARGET GLOBAL cpp-httplib)
  add_library(httplib::httplib ALIAS PkgConfig::httplib)
endif()

if(HOCKET_TESTS)
  find_package(GTest REQUIRED)
  find_package(benchmark CONFIG REQUIRED)
endif()
