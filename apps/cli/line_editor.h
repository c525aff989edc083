// Lines that a person types: edited, remembered and completed at a terminal, plain elsewhere.
#ifndef LOOPLM_CLI_LINE_EDITOR_H_
#define LOOPLM_CLI_LINE_EDITOR_H_

#include <memory>
#include <string>
#include <vector>

namespace looplm::cli {

struct LineEditorOptions {
  std::string prompt = "> ";
  std::string history_file;        // empty: none is kept
  std::vector<std::string> words;  // what Tab completes at the beginning of a line
};

class LineEditor {
 public:
  explicit LineEditor(const LineEditorOptions& options);
  // Writes the history.
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  enum class Read { kLine, kInterrupted, kEnd };
  // A line that ends with a backslash goes on with the next one, and text between lines of """ is
  // one text. Interrupts must be caught (CatchInterrupt) while it reads.
  Read read(std::string& text);

 private:
  struct Terminal;
  Read read_line(bool continued, std::string& line);

  std::unique_ptr<Terminal> terminal_;  // null: standard input is no terminal
};

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_LINE_EDITOR_H_
