// Reports of measurements: blocks of text, tables and figures, written as Markdown and as one
// self-contained HTML page.
#ifndef LOOPLM_EVAL_DOCUMENT_H_
#define LOOPLM_EVAL_DOCUMENT_H_

#include <string>
#include <variant>
#include <vector>

#include "looplm/status.h"

#include "eval/figure.h"

namespace looplm {

struct Heading {
  std::string text;
};
// Plain text, in which `code` and **strong** are marked as in Markdown.
struct Paragraph {
  std::string text;
};
struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows{};  // each as long as columns; text as in Paragraph
  std::string caption{};
};

struct Document {
  std::string title;
  std::vector<std::variant<Heading, Paragraph, Table, Figure>> blocks;

  void heading(std::string text) { blocks.emplace_back(Heading{std::move(text)}); }
  void paragraph(std::string text) { blocks.emplace_back(Paragraph{std::move(text)}); }
  void table(Table table) { blocks.emplace_back(std::move(table)); }
  void figure(Figure figure) { blocks.emplace_back(std::move(figure)); }
};

// Figures stand in it as links to NAME.png beside the file.
std::string document_markdown(const Document& document);

// Draws all figures into the directory and writes NAME.md and NAME.html there, whose figures are
// inside as SVG. Columns whose cells are all numbers are set to the right.
Status write_document(const Document& document, const std::string& directory,
                      const std::string& name);

}  // namespace looplm

#endif  // LOOPLM_EVAL_DOCUMENT_H_
