// The calls that the server holds, by request id: from their arrival, while they are still being
// tokenized, to their end. Makes ids unique and lets Cancel find a call. Any thread may call it.
#ifndef HOCKET_SERVICE_CALL_REGISTRY_H_
#define HOCKET_SERVICE_CALL_REGISTRY_H_

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace hocket {

class Call;

class CallRegistry {
 public:
  // False when a call of this id is held.
  bool Add(const std::string& request_id, std::weak_ptr<Call> call);
  void Remove(const std::string& request_id);

  // False when no such call is held.
  bool Cancel(const std::string& request_id);

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, std::weak_ptr<Call>> calls_;  // Guarded by mutex_.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CALL_REGISTRY_H_
