// Keeps gRPC's reflection service out of a server. It comes with the library that has it: linking
// that is enough for every server of the process to have it.
#ifndef HOCKET_SERVICE_WITHOUT_REFLECTION_H_
#define HOCKET_SERVICE_WITHOUT_REFLECTION_H_

#include <grpcpp/impl/server_builder_option.h>

#include <memory>

namespace hocket {

// For ServerBuilder::SetOption.
std::unique_ptr<grpc::ServerBuilderOption> WithoutReflection();

}  // namespace hocket

#endif  // HOCKET_SERVICE_WITHOUT_REFLECTION_H_
