#include "service/without_reflection.h"

#include <grpcpp/impl/server_builder_plugin.h>

#include <vector>

namespace hocket {
namespace {

class ReflectionRemover final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins,
                  [](const auto& plugin) { return plugin->name() == "proto_server_reflection"; });
  }
};

}  // namespace

std::unique_ptr<grpc::ServerBuilderOption> WithoutReflection() {
  return std::make_unique<ReflectionRemover>();
}

}  // namespace hocket
