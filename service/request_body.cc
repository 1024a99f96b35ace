#include "service/request_body.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <openssl/evp.h>

#include <utility>

namespace hocket {
namespace {

// The same bytes for equal messages, maps included; unknown fields count.
std::string DigestOf(const google::protobuf::Message& message) {
  std::string bytes = message.GetTypeName();
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&out);
  }
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), &size,
             EVP_sha256(), nullptr);
  digest.resize(size);
  return digest;
}

template <typename RequestProto>
RequestProto WithoutId(const RequestProto& request, absl::string_view model) {
  RequestProto body = request;
  body.clear_request_id();
  body.set_model(std::string(model));
  return body;
}

}  // namespace

bool RequestBody::IsSentAgainBy(const RequestBody& again,
                                std::optional<uint64_t> effective_seed) const {
  if (digest != again.digest) return false;
  if (!again.seed) return true;
  return again.seed == (seed ? seed : effective_seed);
}

RequestBody BodyOf(const v1::GenerateRequest& request, absl::string_view model) {
  v1::GenerateRequest body = WithoutId(request, model);
  body.clear_resume();
  RequestBody result;
  if (body.sampling().has_seed()) result.seed = body.sampling().seed();
  // A seed that is all of the settings must not leave their message behind.
  body.mutable_sampling()->clear_seed();
  if (body.sampling().ByteSizeLong() == 0) body.clear_sampling();
  result.digest = DigestOf(body);
  return result;
}

RequestBody BodyOf(const v1::ScoreRequest& request, absl::string_view model) {
  return {.digest = DigestOf(WithoutId(request, model)), .seed = std::nullopt};
}

RequestBody BodyOf(const v1::EmbedRequest& request, absl::string_view model) {
  return {.digest = DigestOf(WithoutId(request, model)), .seed = std::nullopt};
}

}  // namespace hocket
