#include "runtime/beam_tree.h"

#include <algorithm>
#include <utility>

namespace hocket {

BeamTree::Node BeamTree::Add(Node parent, Entry entry) {
  if (parent != kPrompt) ++nodes_[parent].holds;
  if (free_.empty()) {
    free_.push_back(static_cast<Node>(nodes_.size()));
    nodes_.emplace_back();
  }
  const Node node = free_.back();
  free_.pop_back();
  nodes_[node] = {.parent = parent, .holds = 1, .entry = std::move(entry)};
  return node;
}

void BeamTree::Release(Node node) {
  while (node != kPrompt && --nodes_[node].holds == 0) {
    const Node parent = nodes_[node].parent;
    nodes_[node] = Stored();
    free_.push_back(node);
    node = parent;
  }
}

std::vector<const BeamTree::Entry*> BeamTree::Path(Node node) const {
  std::vector<const Entry*> path;
  for (; node != kPrompt; node = nodes_[node].parent) path.push_back(&nodes_[node].entry);
  std::reverse(path.begin(), path.end());
  return path;
}

}  // namespace hocket
