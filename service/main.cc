// The hocket binary.
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "service/cli/command.h"
#include "service/cli/command_line.h"

namespace {

// How long an idle OpenMP thread spins before it sleeps. With a busy neighbour on a core, libgomp's
// default turned a 0.13 ms matmul into 8 ms (p99); this cost nothing when quiet and kept 0.36 ms.
constexpr char kSpinVariable[] = "GOMP_SPINCOUNT";
constexpr char kSpinCount[] = "1000";
constexpr char kRestartedVariable[] = "HOCKET_RESTARTED";

// libgomp reads the variable when it is loaded, before main: so the process is replaced by itself,
// once, with the variable set. Where that fails, it goes on as it is, only slower.
void RestartWithSpinCount(char** argv) {
  const bool restarted = std::getenv(kRestartedVariable) != nullptr;
  unsetenv(kRestartedVariable);
  if (restarted || std::getenv(kSpinVariable) != nullptr) return;
  char program[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
  if (length <= 0) return;
  program[length] = '\0';
  setenv(kSpinVariable, kSpinCount, 1);
  setenv(kRestartedVariable, "1", 1);
  execv(program, argv);
  unsetenv(kRestartedVariable);
}

}  // namespace

int main(int argc, char** argv) {
  RestartWithSpinCount(argv);
  std::vector<std::unique_ptr<hocket::Command>> commands;
  commands.push_back(hocket::NewServeCommand());
  commands.push_back(hocket::NewMakeKeyCommand());
  commands.push_back(hocket::NewReplayCommand());
  commands.push_back(hocket::NewGenerateCommand());
  commands.push_back(hocket::NewChatCommand());
  commands.push_back(hocket::NewScoreCommand());
  commands.push_back(hocket::NewCompareCommand());
  commands.push_back(hocket::NewBenchKvCacheCommand());
  commands.push_back(hocket::NewBenchDecodeCommand());
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  return hocket::RunCommandLine(commands, arguments);
}
