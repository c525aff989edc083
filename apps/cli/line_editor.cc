#include "cli/line_editor.h"

#include <array>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cwchar>
#include <iostream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <histedit.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/catch_interrupt.h"

namespace looplm::cli {
namespace {

constexpr int kHistoryLines = 1000;

History* read_history(const std::string& file) {
  History* lines = history_init();
  HistEvent event{};
  history(lines, &event, H_SETSIZE, kHistoryLines);
  history(lines, &event, H_SETUNIQUE, 1);
  if (!file.empty()) history(lines, &event, H_LOAD, file.c_str());
  return lines;
}

// To what the file holds now, as another conversation may have written to it meanwhile.
void add_to_history(const std::string& file, const std::vector<std::string>& typed) {
  // What one types is private. A history that cannot be written costs the history alone.
  const mode_t mask = ::umask(077);
  const int lock = ::open((file + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock >= 0) ::flock(lock, LOCK_EX);
  History* lines = read_history(file);
  HistEvent event{};
  for (const std::string& line : typed) history(lines, &event, H_ENTER, line.c_str());
  const std::string temporary = file + ".tmp." + std::to_string(::getpid());
  if (history(lines, &event, H_SAVE, temporary.c_str()) < 0 ||
      std::rename(temporary.c_str(), file.c_str()) != 0) {
    std::remove(temporary.c_str());
  }
  history_end(lines);
  if (lock >= 0) ::close(lock);
  ::umask(mask);
}

}  // namespace

struct LineEditor::Terminal {
  LineEditorOptions options;
  EditLine* editor = nullptr;
  History* history = nullptr;
  bool continued = false;
  std::vector<std::string> typed;  // in this conversation

  static Terminal& of(EditLine* editor) {
    void* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return *static_cast<Terminal*>(self);
  }

  static char* prompt(EditLine* editor) {
    static char continuation[] = "... ";
    Terminal& t = of(editor);
    return t.continued ? continuation : t.options.prompt.data();
  }

  // One character, or nothing once there is an interrupt, whichever comes first.
  static int next_character(EditLine* /*editor*/, wchar_t* character) {
    std::array<pollfd, 2> sources = {
        {{STDIN_FILENO, POLLIN, 0}, {CatchInterrupt::descriptor(), POLLIN, 0}}};
    std::mbstate_t state{};
    while (true) {
      const int ready = ::poll(sources.data(), sources.size(), -1);
      if (CatchInterrupt::interrupted()) return -1;
      if (ready < 0 && errno == EINTR) continue;
      char byte = 0;
      const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
      if (count <= 0) return static_cast<int>(count);
      const size_t used = std::mbrtowc(character, &byte, 1, &state);
      if (used <= 1) return 1;
      if (used == static_cast<size_t>(-1)) state = {};  // not UTF-8: what comes next may be
    }
  }

  // Tab: as far as all words that fit agree; where they part, they are listed.
  static unsigned char complete(EditLine* editor, int /*key*/) {
    const LineInfo* line = el_line(editor);
    const std::string typed(line->buffer, line->cursor);
    if (typed.empty() || typed.find(' ') != std::string::npos) return CC_ERROR;
    std::vector<std::string> fits;
    for (const std::string& word : of(editor).options.words) {
      if (word.starts_with(typed)) fits.push_back(word);
    }
    if (fits.empty()) return CC_ERROR;
    std::string common = fits.size() == 1 ? fits[0] + ' ' : fits[0];
    for (const std::string& word : fits) {
      while (fits.size() > 1 && !word.starts_with(common)) common.pop_back();
    }
    if (common.size() > typed.size()) {
      return el_insertstr(editor, common.c_str() + typed.size()) == 0 ? CC_REFRESH : CC_ERROR;
    }
    std::fputc('\n', stdout);
    for (const std::string& word : fits) std::fprintf(stdout, "%s  ", word.c_str());
    std::fputc('\n', stdout);
    return CC_REDISPLAY;
  }
};

LineEditor::LineEditor(const LineEditorOptions& options) {
  if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDOUT_FILENO) != 1) return;
  // The editor asks the locale how wide characters are; text is UTF-8 whatever the locale says.
  const char* type = std::setlocale(LC_CTYPE, "");
  if (type == nullptr || std::string(type) == "C") std::setlocale(LC_CTYPE, "C.UTF-8");
  terminal_ = std::make_unique<Terminal>();
  Terminal& t = *terminal_;
  t.options = options;
  t.editor = el_init("looplm", stdin, stdout, stderr);
  t.history = read_history(options.history_file);
  el_set(t.editor, EL_CLIENTDATA, &t);
  el_set(t.editor, EL_GETCFN, &Terminal::next_character);
  el_set(t.editor, EL_PROMPT, &Terminal::prompt);
  el_set(t.editor, EL_EDITOR, "emacs");
  el_set(t.editor, EL_HIST, history, t.history);
  el_set(t.editor, EL_ADDFN, "complete", "Complete a command", &Terminal::complete);
  el_set(t.editor, EL_BIND, "^I", "complete", nullptr);
  el_set(t.editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_source(t.editor, nullptr);  // ~/.editrc
}

LineEditor::~LineEditor() {
  if (terminal_ == nullptr) return;
  if (!terminal_->options.history_file.empty()) {
    add_to_history(terminal_->options.history_file, terminal_->typed);
  }
  history_end(terminal_->history);
  el_end(terminal_->editor);
}

LineEditor::Read LineEditor::read_line(bool continued, std::string& line) {
  if (terminal_ == nullptr) {
    if (!std::getline(std::cin, line)) return Read::kEnd;
  } else {
    terminal_->continued = continued;
    int count = 0;
    const char* typed = el_gets(terminal_->editor, &count);
    if (CatchInterrupt::interrupted()) {
      el_reset(terminal_->editor);
      return Read::kInterrupted;
    }
    if (typed == nullptr || count <= 0) return Read::kEnd;
    line.assign(typed, static_cast<size_t>(count));
    if (line.ends_with('\n')) line.pop_back();
    HistEvent event{};
    if (line.find_first_not_of(' ') != std::string::npos) {
      history(terminal_->history, &event, H_ENTER, line.c_str());
      terminal_->typed.push_back(line);
    }
  }
  if (line.ends_with('\r')) line.pop_back();
  return Read::kLine;
}

LineEditor::Read LineEditor::read(std::string& text) {
  text.clear();
  std::string line;
  Read read = read_line(false, line);
  if (read != Read::kLine) return read;
  if (line == "\"\"\"") {
    for (bool first = true;; first = false) {
      read = read_line(true, line);
      if (read == Read::kInterrupted) return read;
      if (read == Read::kEnd || line == "\"\"\"") return Read::kLine;
      text += (first ? "" : "\n") + line;
    }
  }
  while (line.ends_with('\\')) {
    line.pop_back();
    text += line + '\n';
    read = read_line(true, line);
    if (read == Read::kInterrupted) return read;
    if (read == Read::kEnd) line.clear();
  }
  text += line;
  return Read::kLine;
}

}  // namespace looplm::cli
