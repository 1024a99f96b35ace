// The texts of a beam search: a tree of tokens, each with the text that it released, in which beams
// share what they have in common. What no beam stands on any more is given back, so the tree holds
// at most the texts of the beams that are held. Owned by a BeamGroup, engine thread only.
#ifndef HOCKET_RUNTIME_BEAM_TREE_H_
#define HOCKET_RUNTIME_BEAM_TREE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/step.h"

namespace hocket {

class BeamTree {
 public:
  using Node = int32_t;
  static constexpr Node kPrompt = -1;  // Above all first tokens; held by nobody.

  struct Entry {
    TokenScore score;  // Only the token where no scores are asked for.
    std::string text;  // What became certain with the token.
  };

  // A token after `parent`. The new node is held once; it holds its parent.
  Node Add(Node parent, Entry entry);
  // Gives up one hold of the node.
  void Release(Node node);

  // From the first token to the node's.
  std::vector<const Entry*> Path(Node node) const;

  size_t size() const { return nodes_.size() - free_.size(); }

 private:
  struct Stored {
    Node parent = kPrompt;
    int32_t holds = 0;
    Entry entry;
  };
  std::vector<Stored> nodes_;
  std::vector<Node> free_;  // Places in nodes_.
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_BEAM_TREE_H_
