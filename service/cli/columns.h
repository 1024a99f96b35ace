// Lays text out side by side for a terminal. UTF-8 aware: a wide character takes two cells, a
// combining mark none. Pure but for TerminalWidth; any thread.
#ifndef HOCKET_SERVICE_CLI_COLUMNS_H_
#define HOCKET_SERVICE_CLI_COLUMNS_H_

#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace hocket {

// Cells that `text` takes on one line. A byte that is not valid UTF-8 takes one.
int DisplayWidth(absl::string_view text);

// Breaks `text` into lines of at most `width` cells, at spaces where there are any, and at its own
// newlines. Spaces at a break are dropped; a longer word is cut. `width` is at least 2.
std::vector<std::string> WrapText(absl::string_view text, int width);

struct TextColumn {
  std::string title;
  std::string body;
  std::string footer;
};

// The columns side by side, separated by " | ", over lines of at most `width` cells, each line
// ending in "\n". As many go into one band as have 24 cells each; the rest follow in further bands.
std::string LayoutColumns(std::span<const TextColumn> columns, int width);

// Rows of cells, the first row being the head: every column as wide as its widest cell, those that
// hold only numbers (or "-") to the right.
std::string LayoutTable(std::span<const std::vector<std::string>> rows);

// The environment's COLUMNS, else what the terminal on stdout says, else 100; at least 20.
int TerminalWidth();

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_COLUMNS_H_
