// A file descriptor that is closed with its owner. A move-only value.
#ifndef HOCKET_SERVICE_DESCRIPTOR_H_
#define HOCKET_SERVICE_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace hocket {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() { Close(); }
  Descriptor(Descriptor&& other) noexcept : number_(other.Release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      Close();
      number_ = other.Release();
    }
    return *this;
  }

  int number() const { return number_; }  // -1: none.
  bool open() const { return number_ >= 0; }

  int Release() { return std::exchange(number_, -1); }  // The caller owns it.
  void Close() {
    if (number_ >= 0) close(Release());
  }

 private:
  int number_ = -1;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_DESCRIPTOR_H_
