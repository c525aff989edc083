#include "eval/document.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "base/file.h"

namespace looplm {
namespace {

template <class... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <class... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string attribute(std::string_view text) {
  std::string out = escaped(text);
  for (size_t at = out.find('"'); at != std::string::npos; at = out.find('"', at)) {
    out.replace(at, 1, "&quot;");
  }
  return out;
}

// `code` and **strong** as HTML; a mark without its partner stays text.
std::string inline_html(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t code = text.find('`');
    const size_t strong = text.find("**");
    const bool is_code = code < strong;
    const std::string_view mark = is_code ? "`" : "**";
    const size_t begin = std::min(code, strong);
    const size_t end =
        begin == std::string_view::npos ? begin : text.find(mark, begin + mark.size());
    if (end == std::string_view::npos) return out + escaped(text);
    const std::string_view inside = text.substr(begin + mark.size(), end - begin - mark.size());
    out += escaped(text.substr(0, begin));
    out += is_code ? "<code>" + escaped(inside) + "</code>"
                   : "<strong>" + escaped(inside) + "</strong>";
    text.remove_prefix(end + mark.size());
  }
  return out;
}

// Numbers with their signs, units and intervals, or nothing.
bool is_number(std::string_view cell) {
  return std::all_of(cell.begin(), cell.end(), [](char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("+-.,%[] ex()").find(c) != std::string_view::npos;
  });
}

std::vector<bool> right_columns(const Table& table) {
  std::vector<bool> right(table.columns.size(), true);
  for (const auto& row : table.rows) {
    for (size_t c = 0; c < row.size() && c < right.size(); ++c) {
      right[c] = right[c] && is_number(row[c]);
    }
  }
  return right;
}

std::string cell_markdown(const std::string& cell) {
  std::string out;
  for (const char c : cell) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::string table_markdown(const Table& table) {
  std::string out = "|", rule = "|";
  const std::vector<bool> right = right_columns(table);
  for (size_t c = 0; c < table.columns.size(); ++c) {
    out += " " + cell_markdown(table.columns[c]) + " |";
    rule += right[c] ? "---:|" : "---|";
  }
  out += "\n" + rule + "\n";
  for (const auto& row : table.rows) {
    out += "|";
    for (const std::string& cell : row) out += " " + cell_markdown(cell) + " |";
    out += "\n";
  }
  return table.caption.empty() ? out : out + "\n" + table.caption + "\n";
}

std::string table_html(const Table& table) {
  const std::vector<bool> right = right_columns(table);
  const auto cell = [&](const char* tag, const std::string& text, size_t c) {
    return fmt::format("<{0}{1}>{2}</{0}>", tag,
                       c < right.size() && right[c] ? " class=\"number\"" : "", inline_html(text));
  };
  std::string out = "<div class=\"wide\"><table>\n<thead><tr>";
  for (size_t c = 0; c < table.columns.size(); ++c) out += cell("th", table.columns[c], c);
  out += "</tr></thead>\n<tbody>\n";
  for (const auto& row : table.rows) {
    out += "<tr>";
    for (size_t c = 0; c < row.size(); ++c) out += cell("td", row[c], c);
    out += "</tr>\n";
  }
  out += "</tbody></table></div>\n";
  if (!table.caption.empty())
    out += "<p class=\"caption\">" + inline_html(table.caption) + "</p>\n";
  return out;
}

constexpr const char* kStyle = R"(
  body { font: 16px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff;
         max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.7rem; line-height: 1.25; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
  code { font: 0.9em ui-monospace, monospace; background: #f2f2f2; padding: 0 0.2em; }
  .wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.92rem; }
  th, td { text-align: left; padding: 0.3rem 0.7rem; border-bottom: 1px solid #ddd;
           vertical-align: top; }
  th { border-bottom: 2px solid #999; } .number { text-align: right; white-space: nowrap;
           font-variant-numeric: tabular-nums; }
  figure { margin: 1.2rem 0; } figure svg { max-width: 100%; height: auto; }
  .caption { color: #555; font-size: 0.92rem; }
)";

// The <svg> element of a drawn figure.
Result<std::string> svg_element(const std::string& path) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string text, read_text_file(path));
  const size_t begin = text.find("<svg");
  if (begin == std::string::npos) return io_error(fmt::format("'{}' holds no <svg>", path));
  return text.substr(begin);
}

// Ids inside an SVG are made unique, since all figures share the page.
std::string with_own_ids(std::string svg, const std::string& name) {
  for (const std::string_view mark : {"id='", "id=\"", "href='#", "href=\"#", "url(#"}) {
    for (size_t at = svg.find(mark); at != std::string::npos; at = svg.find(mark, at)) {
      at += mark.size();
      svg.insert(at, name + "-");
    }
  }
  return svg;
}

}  // namespace

std::string document_markdown(const Document& document) {
  std::string out = "# " + document.title + "\n";
  for (const auto& block : document.blocks) {
    out += "\n";
    out += std::visit(
        Overloaded{[](const Heading& h) { return "## " + h.text + "\n"; },
                   [](const Paragraph& p) { return p.text + "\n"; },
                   [](const Table& t) { return table_markdown(t); },
                   [](const Figure& f) { return fmt::format("![{}]({}.png)\n", f.title, f.name); }},
        block);
  }
  return out;
}

Status write_document(const Document& document, const std::string& directory,
                      const std::string& name) {
  LOOPLM_RETURN_IF_ERROR(make_directories(directory));
  std::string body;
  for (const auto& block : document.blocks) {
    if (const auto* heading = std::get_if<Heading>(&block)) {
      body += "<h2>" + inline_html(heading->text) + "</h2>\n";
    } else if (const auto* paragraph = std::get_if<Paragraph>(&block)) {
      body += "<p>" + inline_html(paragraph->text) + "</p>\n";
    } else if (const auto* table = std::get_if<Table>(&block)) {
      body += table_html(*table);
    } else {
      const Figure& figure = std::get<Figure>(block);
      LOOPLM_RETURN_IF_ERROR(draw_figure(figure, directory));
      LOOPLM_ASSIGN_OR_RETURN(std::string svg, svg_element(directory + "/" + figure.name + ".svg"));
      body += fmt::format("<figure role=\"img\" aria-label=\"{}\">\n{}</figure>\n",
                          attribute(figure.title), with_own_ids(std::move(svg), figure.name));
    }
  }
  const std::string page = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta "
      "name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\">\n<title>{0}</title>\n<style>{1}</style>\n</head>\n<body>\n<h1>{0}</"
      "h1>\n{2}"
      "</body>\n</html>\n",
      escaped(document.title), kStyle, body);
  LOOPLM_RETURN_IF_ERROR(
      write_text_file(directory + "/" + name + ".md", document_markdown(document)));
  return write_text_file(directory + "/" + name + ".html", page);
}

}  // namespace looplm
