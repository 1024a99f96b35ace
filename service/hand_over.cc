#include "service/hand_over.h"

#include <chrono>
#include <utility>

namespace hocket {
namespace {

// A hand-over takes less than a millisecond, unless its connection floods.
constexpr std::chrono::milliseconds kPatience(500);

}  // namespace

HandOver::~HandOver() {
  Stop();
  Join();
}

void HandOver::Register(
    grpc::ServerBuilder& builder,
    const std::function<std::shared_ptr<grpc::ServerCredentials>()>& credentials) {
  for (auto& acceptor : acceptors_) {
    acceptor = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials());
  }
}

void HandOver::Start() {
  for (size_t i = 0; i < kThreads; ++i) threads_.emplace_back([this, i] { Run(i); });
}

void HandOver::Give(Descriptor socket, int listener, int key) {
  {
    std::lock_guard lock(mutex_);
    if (stop_) return;
    waiting_.push_back({std::move(socket), listener, key});
  }
  wake_.notify_one();
}

std::vector<int> HandOver::Stop() {
  std::deque<Waiting> closed;
  std::vector<int> keys;
  std::unique_lock lock(mutex_);
  stop_ = true;
  closed.swap(waiting_);
  wake_.notify_all();
  const auto idle = [this] { return busy_ == AllIdle(); };
  wake_.wait_for(lock, kPatience, idle);
  for (const int key : busy_) {
    if (key >= 0) keys.push_back(key);
  }
  return keys;
}

void HandOver::Join() {
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void HandOver::Run(size_t thread) {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    busy_[thread] = next.key;
    lock.unlock();
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
    parameters.listener_fd = next.listener;
    parameters.fd = next.socket.Release();  // gRPC's from here on.
    acceptors_[thread]->HandleNewConnection(&parameters);
    lock.lock();
    busy_[thread] = -1;
    if (stop_) wake_.notify_all();
  }
}

}  // namespace hocket
