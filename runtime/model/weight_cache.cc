#include "runtime/model/weight_cache.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/model/content_hash.h"

namespace hocket {
namespace {

namespace fs = std::filesystem;

constexpr char kMagic[8] = {'H', 'O', 'C', 'K', 'E', 'T', 'W', '\n'};
constexpr char kSuffix[] = ".hocket-weights";
constexpr char kUnfinished[] = ".unfinished-";
constexpr uint64_t kFormatVersion = 1;
constexpr size_t kPageBytes = 4096;
constexpr size_t kMostHeaderBytes = size_t{16} << 20;
constexpr size_t kSampleBytes = 4096;
constexpr size_t kWriteBytes = size_t{32} << 20;
// An unfinished file that nobody has written to for this long belongs to a process that died.
constexpr auto kUnfinishedFor = std::chrono::minutes(10);

// At the file's start; the key's text follows, then the payload at header_bytes.
struct FileHeader {
  char magic[8];
  uint64_t version;
  uint64_t header_bytes;
  uint64_t key_bytes;
  uint64_t payload_bytes;
  uint64_t payload_hash;
  uint64_t header_hash;  // Of all of the header, with this field 0.
};

absl::Status Unusable(const std::string& path, const std::string& problem) {
  return absl::FailedPreconditionError(absl::StrCat(path, ": ", problem));
}

absl::Status SystemError(const std::string& path, const char* action, int error) {
  return absl::UnavailableError(
      absl::StrCat(path, ": cannot ", action, ": ", std::strerror(error)));
}

// A descriptor of a file under a name of its own, which is removed unless it was renamed.
class UnfinishedFile {
 public:
  explicit UnfinishedFile(const std::string& final_path) : final_path_(final_path) {
    path_ = absl::StrCat(final_path, kUnfinished, getpid(), "-", std::random_device()());
    descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    error_ = errno;
  }
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;
  ~UnfinishedFile() {
    if (descriptor_ < 0) return;
    close(descriptor_);
    if (!finished_) unlink(path_.c_str());
  }

  absl::Status Reserve(size_t bytes) {
    if (descriptor_ < 0) return SystemError(path_, "create the file", error_);
    // Tells a full disk before the work; not every file system can.
    if (fallocate(descriptor_, 0, 0, static_cast<off_t>(bytes)) != 0 && errno != EOPNOTSUPP &&
        errno != ENOSYS) {
      return SystemError(path_, "reserve space", errno);
    }
    return absl::OkStatus();
  }

  absl::Status Write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return SystemError(path_, "write", errno);
      bytes = bytes.subspan(written);
    }
    return absl::OkStatus();
  }

  absl::Status Finish() {
    if (fsync(descriptor_) != 0) return SystemError(path_, "write to disk", errno);
    if (rename(path_.c_str(), final_path_.c_str()) != 0) {
      return SystemError(final_path_, "rename the file", errno);
    }
    finished_ = true;
    return absl::OkStatus();
  }

 private:
  const std::string final_path_;
  std::string path_;
  int descriptor_ = -1;
  int error_ = 0;
  bool finished_ = false;
};

void RemoveAbandoned(const fs::path& path) {
  const std::string unfinished = path.filename().string() + kUnfinished;
  std::error_code error;
  for (fs::directory_iterator entry(path.parent_path(), error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (!absl::StartsWith(entry->path().filename().string(), unfinished)) continue;
    const auto age = fs::file_time_type::clock::now() - entry->last_write_time(ignored);
    if (!ignored && age > kUnfinishedFor) fs::remove(entry->path(), ignored);
  }
}

absl::Status WriteFile(const std::string& path, const std::string& header,
                       std::span<const std::byte> payload,
                       const std::function<void(double)>& progress) {
  UnfinishedFile file(path);
  absl::Status status = file.Reserve(header.size() + payload.size());
  if (status.ok()) status = file.Write(std::as_bytes(std::span(header.data(), header.size())));
  for (size_t done = 0; status.ok() && done < payload.size(); done += kWriteBytes) {
    if (progress) progress(static_cast<double>(done) / static_cast<double>(payload.size()));
    status = file.Write(payload.subspan(done, std::min(kWriteBytes, payload.size() - done)));
  }
  return status.ok() ? file.Finish() : status;
}

// The bytes around a tensor's middle.
std::span<const std::byte> Sample(const TensorView& view) {
  const size_t size = std::min(kSampleBytes, view.bytes.size());
  return view.bytes.subspan((view.bytes.size() - size) / 2, size);
}

uint64_t HashTensors(const SafetensorsFile& file) {
  std::string text;
  for (const auto& [name, view] : file.tensors()) {
    absl::StrAppend(&text, name, " ", view.type, " ", ShapeText(view.shape), " ",
                    HashBytes(Sample(view)), "\n");
    ReleasePages(view.bytes);
  }
  return HashText(text);
}

// The folder for caches that do not lie beside their model, or "".
std::string UserCacheFolder() {
  const char* const cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return absl::StrCat(cache, "/hocket/weights");
  const char* const home = std::getenv("HOME");
  if (home != nullptr && *home == '/') return absl::StrCat(home, "/.cache/hocket/weights");
  return "";
}

}  // namespace

absl::StatusOr<CheckpointIdentity> IdentifyCheckpoint(const std::string& model_dir,
                                                      const Checkpoint& checkpoint) {
  const auto config = ReadTextFile(model_dir + "/config.json");
  if (!config.ok()) return config.status();
  CheckpointIdentity identity;
  std::string contents = absl::StrCat("config ", HashText(*config), "\n");
  identity.text = contents;
  for (const SafetensorsFile& file : checkpoint.files()) {
    struct stat info = {};
    if (stat(file.path().c_str(), &info) != 0) return SystemError(file.path(), "look", errno);
    const uint64_t tensors = HashTensors(file);
    absl::StrAppend(&contents, "tensors ", tensors, "\n");
    absl::StrAppend(&identity.text, "file ", fs::path(file.path()).filename().string(), ", ",
                    info.st_size, " bytes of ", info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec,
                    ", tensors ", tensors, "\n");
  }
  identity.contents = HashText(contents);
  return identity;
}

std::vector<std::string> WeightCachePaths(const std::string& policy, const std::string& model_dir,
                                          const std::string& precision, uint64_t contents) {
  if (policy == "off") return {};
  std::error_code error;
  const fs::path folder = fs::canonical(model_dir, error);
  const std::string name =
      absl::StrCat((error ? fs::path(model_dir) : folder).filename().string(), "-",
                   absl::Hex(contents, absl::kZeroPad16), "-", precision, kSuffix);
  if (policy != "auto") return {absl::StrCat(policy, "/", name)};
  std::vector<std::string> paths = {absl::StrCat(model_dir, "/", precision, kSuffix)};
  const std::string user_folder = UserCacheFolder();
  if (!user_folder.empty()) paths.push_back(absl::StrCat(user_folder, "/", name));
  return paths;
}

std::string WeightCache::MakeHeader(int64_t payload_bytes, uint64_t payload_hash) const {
  FileHeader header = {};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.version = kFormatVersion;
  header.header_bytes = (sizeof(header) + key_.size() + kPageBytes - 1) / kPageBytes * kPageBytes;
  header.key_bytes = key_.size();
  header.payload_bytes = payload_bytes;
  header.payload_hash = payload_hash;
  std::string bytes(header.header_bytes, '\0');
  std::memcpy(bytes.data(), &header, sizeof(header));
  std::memcpy(bytes.data() + sizeof(header), key_.data(), key_.size());
  header.header_hash = HashText(bytes);
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

absl::StatusOr<CachedWeights> WeightCache::Open(const std::string& path, int64_t payload_bytes,
                                                Team& team) const {
  auto file = MappedFile::Open(path);
  if (!file.ok()) return file.status();
  const std::span<const std::byte> bytes = file->bytes();
  FileHeader header = {};
  if (bytes.size() < sizeof(header)) return Unusable(path, "cut short");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) {
    return Unusable(path, "not a weight cache");
  }
  if (header.version != kFormatVersion) return Unusable(path, "of another format version");
  if (header.header_bytes < sizeof(header) ||
      header.header_bytes > std::min(bytes.size(), kMostHeaderBytes)) {
    return Unusable(path, "damaged header");
  }
  const std::string found(reinterpret_cast<const char*>(bytes.data()), header.header_bytes);
  const std::string expected = MakeHeader(payload_bytes, header.payload_hash);
  if (found != expected) {
    std::string unhashed = found;
    std::memset(unhashed.data() + offsetof(FileHeader, header_hash), 0, sizeof(uint64_t));
    return Unusable(path, HashText(unhashed) == header.header_hash
                              ? "made from another checkpoint or for another layout"
                              : "damaged header");
  }
  const std::span<const std::byte> payload = bytes.subspan(header.header_bytes);
  if (static_cast<int64_t>(payload.size()) != payload_bytes) return Unusable(path, "cut short");
  // Where the page cache has large pages, it maps them.
  void* const start = const_cast<std::byte*>(bytes.data());
  madvise(start, bytes.size(), MADV_HUGEPAGE);
  madvise(start, bytes.size(), MADV_WILLNEED);
  if (HashLargeBytes(payload, team) != header.payload_hash) {
    return Unusable(path, "damaged contents");
  }
  return CachedWeights{path, *std::move(file), payload};
}

absl::StatusOr<CachedWeights> WeightCache::Find(int64_t payload_bytes, Team& team) const {
  absl::Status status = absl::NotFoundError("no weight cache");
  for (const std::string& path : paths_) {
    auto found = Open(path, payload_bytes, team);
    if (found.ok()) return found;
    if (!absl::IsNotFound(found.status())) status = found.status();
  }
  return status;
}

absl::StatusOr<std::string> WeightCache::Store(std::span<const std::byte> payload, Team& team,
                                               const std::function<void(double)>& progress) const {
  const std::string header =
      MakeHeader(static_cast<int64_t>(payload.size()), HashLargeBytes(payload, team));
  std::vector<std::string> problems;
  for (const std::string& path : paths_) {
    std::error_code ignored;  // Writing says what is wrong.
    fs::create_directories(fs::path(path).parent_path(), ignored);
    RemoveAbandoned(path);
    const absl::Status status = WriteFile(path, header, payload, progress);
    if (status.ok()) return path;
    problems.emplace_back(status.message());
  }
  return absl::UnavailableError(absl::StrJoin(problems, "; "));
}

}  // namespace hocket
