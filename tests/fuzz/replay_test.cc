// Runs a fuzz target on every input that is kept in its corpus folder: what the fuzzer once found
// interesting, and what once broke a promise.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace hocket {
namespace {

namespace fs = std::filesystem;

// Each target has an executable of its own with this test in it: NAME_replay_test.
fs::path CorpusFolder() {
  const std::string executable = fs::read_symlink("/proc/self/exe").filename();
  const std::string name = executable.substr(0, executable.find("_replay_test"));
  return fs::path(HOCKET_SOURCE_DIR) / "tests/fuzz/corpus" / name;
}

std::vector<fs::path> Corpus() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(CorpusFolder())) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST(FuzzReplay, EveryInputOfTheCorpusKeepsThePromises) {
  LLVMFuzzerTestOneInput(nullptr, 0);
  const std::vector<fs::path> corpus = Corpus();
  ASSERT_FALSE(corpus.empty()) << CorpusFolder();
  for (const fs::path& path : corpus) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<uint8_t> bytes((std::istreambuf_iterator<char>(file)), {});
    // A broken promise aborts: the last line names the input.
    std::fprintf(stderr, "%s\n", path.filename().c_str());
    EXPECT_EQ(LLVMFuzzerTestOneInput(bytes.data(), bytes.size()), 0) << path;
  }
}

}  // namespace
}  // namespace hocket
