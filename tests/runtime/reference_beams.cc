#include "tests/runtime/reference_beams.h"

#include <algorithm>
#include <cmath>

namespace hocket {
namespace {

std::vector<BeamLine> Continuations(const BeamTask& task, const std::vector<BeamLine>& running) {
  std::vector<BeamLine> all;
  for (const BeamLine& line : running) {
    const std::vector<float> row = task.next(line.tokens);
    for (size_t token = 0; token < row.size(); ++token) {
      if (std::isinf(row[token])) continue;
      BeamLine& longer = all.emplace_back(line);
      longer.tokens.push_back(static_cast<TokenId>(token));
      longer.logprob += row[token];
    }
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const BeamLine& a, const BeamLine& b) { return a.logprob > b.logprob; });
  return all;
}

bool IsOver(const BeamTask& task, const ReferenceBeams& found, double length) {
  using enum BeamSettings::EarlyStopping;
  const auto& [width, returned, penalty, stopping] = task.settings;
  const std::vector<BeamLine>& running = found.running.back();
  if (running.empty()) return true;
  if (found.finished.size() < static_cast<size_t>(width)) return false;
  if (stopping == kAlways) return true;
  if (stopping == kNever && penalty > 0) length = task.max_new_tokens;
  return running[0].logprob / std::pow(length, penalty) <= found.finished.back().score;
}

}  // namespace

ReferenceBeams FindBeams(const BeamTask& task) {
  const size_t width = task.settings.width;
  const size_t considered = std::max(2, 1 + task.stop_tokens) * width;
  ReferenceBeams found;
  std::vector<BeamLine> running = {BeamLine()};
  for (double length = 1;; ++length) {
    std::vector<BeamLine> candidates = Continuations(task, running);
    if (candidates.size() > considered) candidates.resize(considered);
    running.clear();
    for (size_t i = 0; i < candidates.size(); ++i) {
      BeamLine& line = candidates[i];
      if (!task.ends(line.tokens)) {
        if (running.size() < width) running.push_back(line);
      } else if (i < width) {
        line.score = line.logprob / std::pow(length, task.settings.length_penalty);
        found.finished.push_back(line);
      }
    }
    std::stable_sort(found.finished.begin(), found.finished.end(),
                     [](const BeamLine& a, const BeamLine& b) { return a.score > b.score; });
    if (found.finished.size() > width) found.finished.resize(width);
    found.running.push_back(running);
    if (IsOver(task, found, length)) return found;
  }
}

}  // namespace hocket
