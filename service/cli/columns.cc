#include "service/cli/columns.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace hocket {
namespace {

constexpr int kColumnCells = 24;
constexpr absl::string_view kSeparator = " | ";

struct Character {
  size_t bytes = 1;
  int cells = 1;
};

struct CodePointRange {
  uint32_t first;
  uint32_t last;
};

// Unicode's East Asian Width W and F, and the emoji blocks, as whole ranges.
constexpr CodePointRange kWide[] = {
    {0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xac00, 0xd7a3},
    {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
    {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd},
};
constexpr CodePointRange kZeroWidth[] = {
    {0x0300, 0x036f}, {0x200b, 0x200f}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff},
};

template <size_t N>
bool InRanges(const CodePointRange (&ranges)[N], uint32_t code_point) {
  return std::any_of(std::begin(ranges), std::end(ranges), [code_point](const auto& range) {
    return code_point >= range.first && code_point <= range.last;
  });
}

// The character at the front of `text`, which is not empty.
Character FrontCharacter(absl::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t bytes = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
  if (bytes == 1 || bytes > text.size()) return {};
  uint32_t code_point = lead & (0xffu >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xc0) != 0x80) return {};
    code_point = code_point << 6 | (byte & 0x3f);
  }
  const int cells = InRanges(kZeroWidth, code_point) ? 0 : InRanges(kWide, code_point) ? 2 : 1;
  return {bytes, cells};
}

// Bytes of the longest front part of `text` that takes at most `width` cells.
size_t BytesWithin(absl::string_view text, int width) {
  size_t bytes = 0;
  int cells = 0;
  while (bytes < text.size()) {
    const Character character = FrontCharacter(text.substr(bytes));
    if (cells + character.cells > width) break;
    cells += character.cells;
    bytes += character.bytes;
  }
  return bytes;
}

void WrapParagraph(absl::string_view line, int width, std::vector<std::string>* lines) {
  while (DisplayWidth(line) > width) {
    const size_t fits = std::max<size_t>(BytesWithin(line, width), 1);
    size_t end = line[fits] == ' ' ? fits : line.substr(0, fits).rfind(' ');
    if (end == absl::string_view::npos || end == 0) end = fits;
    absl::string_view front = line.substr(0, end);
    while (!front.empty() && front.back() == ' ') front.remove_suffix(1);
    lines->emplace_back(front);
    line.remove_prefix(end);
    while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  }
  lines->emplace_back(line);
}

bool IsNumber(const std::string& cell) {
  return cell == "-" || cell.find_first_not_of("0123456789.+-") == std::string::npos;
}

std::string Pad(absl::string_view text, int width) {
  return absl::StrCat(text, std::string(std::max(0, width - DisplayWidth(text)), ' '));
}

// One line of the band, without spaces at its end.
void AppendLine(const std::vector<std::string>& cells, int width, std::string* out) {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    absl::StrAppend(&line, i == 0 ? "" : kSeparator, Pad(cells[i], width));
  }
  line.erase(line.find_last_not_of(' ') + 1);
  absl::StrAppend(out, line, "\n");
}

void AppendBand(std::span<const TextColumn> columns, int width, std::string* out) {
  std::vector<std::vector<std::string>> wrapped;
  size_t height = 0;
  for (const TextColumn& column : columns) {
    std::vector<std::string> lines = WrapText(column.title, width);
    lines.push_back(std::string(width, '-'));
    for (std::string& line : WrapText(column.body, width)) lines.push_back(std::move(line));
    if (!column.footer.empty()) {
      for (std::string& line : WrapText(column.footer, width)) lines.push_back(std::move(line));
    }
    height = std::max(height, lines.size());
    wrapped.push_back(std::move(lines));
  }
  for (size_t row = 0; row < height; ++row) {
    std::vector<std::string> cells;
    for (const auto& lines : wrapped) cells.push_back(row < lines.size() ? lines[row] : "");
    AppendLine(cells, width, out);
  }
}

}  // namespace

int DisplayWidth(absl::string_view text) {
  int cells = 0;
  while (!text.empty()) {
    const Character character = FrontCharacter(text);
    cells += character.cells;
    text.remove_prefix(character.bytes);
  }
  return cells;
}

std::vector<std::string> WrapText(absl::string_view text, int width) {
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(text, '\n')) WrapParagraph(line, width, &lines);
  return lines;
}

std::string LayoutColumns(std::span<const TextColumn> columns, int width) {
  const int separator = static_cast<int>(kSeparator.size());
  const int count = static_cast<int>(columns.size());
  const int per_band =
      std::clamp((width + separator) / (kColumnCells + separator), 1, std::max(count, 1));
  const int column_width = std::max(2, (width + separator) / per_band - separator);
  std::string out;
  for (int begin = 0; begin < count; begin += per_band) {
    if (begin > 0) out += "\n";
    AppendBand(columns.subspan(begin, std::min(per_band, count - begin)), column_width, &out);
  }
  return out;
}

std::string LayoutTable(std::span<const std::vector<std::string>> rows) {
  std::vector<int> widths;
  std::vector<bool> numeric;
  for (size_t row = 0; row < rows.size(); ++row) {
    widths.resize(std::max(widths.size(), rows[row].size()));
    numeric.resize(widths.size(), true);
    for (size_t i = 0; i < rows[row].size(); ++i) {
      widths[i] = std::max(widths[i], DisplayWidth(rows[row][i]));
      if (row > 0 && !IsNumber(rows[row][i])) numeric[i] = false;
    }
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - DisplayWidth(row[i]), ' ');
      absl::StrAppend(&line, i == 0 ? "" : "  ", numeric[i] ? padding : row[i],
                      numeric[i] ? row[i] : padding);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&out, line, "\n");
  }
  return out;
}

int TerminalWidth() {
  int width = 0;
  const char* columns = std::getenv("COLUMNS");
  winsize size{};
  if (columns != nullptr && absl::SimpleAtoi(columns, &width) && width > 0) {
    // The environment decides.
  } else if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    width = size.ws_col;
  } else {
    width = 100;
  }
  return std::max(width, 20);
}

}  // namespace hocket
