// Typed look-ups in a TOML table that remember what was asked for, so that unknown keys can be
// reported. Only sources that hold tables themselves include toml++ whole: it takes a second to
// compile.
#ifndef LOOPLM_TRAIN_TOML_READER_H_
#define LOOPLM_TRAIN_TOML_READER_H_

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <toml++/impl/forward_declarations.h>

#include "looplm/status.h"

namespace looplm {

// Reads values of one table. The first error is kept in `status`; later look-ups then do nothing.
// The reader's end reports what it holds and nobody asked for, as finish() does.
class TomlReader {
 public:
  // `name` is the table's dotted name, "" for the root. A null table is an empty one.
  TomlReader(const toml::table* table, std::string name, Status& status)
      : table_(table), name_(std::move(name)), status_(status) {}
  TomlReader(TomlReader&& other) noexcept
      : table_(std::exchange(other.table_, nullptr)),
        name_(std::move(other.name_)),
        status_(other.status_),
        asked_(std::move(other.asked_)) {}
  ~TomlReader() { finish(); }

  bool has(const char* key) const;

  void read(const char* key, int64_t& value, int64_t least, int64_t most);
  void read(const char* key, int& value, int least, int most);
  void read(const char* key, uint64_t& value);  // 0 .. 2^63 - 1
  void read(const char* key, double& value, double least, double most);
  void read(const char* key, bool& value);
  void read(const char* key, std::string& value);
  // Lists of at least one value; a single value is a list of one.
  void read(const char* key, std::vector<int64_t>& values, int64_t least, int64_t most);
  void read(const char* key, std::vector<int>& values, int least, int most);
  void read(const char* key, std::vector<uint64_t>& values);  // 0 .. 2^63 - 1
  void read(const char* key, std::vector<double>& values, double least, double most);
  void read(const char* key, std::vector<std::string>& values);
  void require(const char* key);

  // A child table; missing is fine. A key that holds something else is an error.
  TomlReader child(const char* key);
  // The tables of an array of tables ([[key]]), in order, named key[0], key[1], ...; missing is
  // none.
  std::vector<TomlReader> tables(const char* key);
  const toml::node* node(const char* key);

  // Reports keys that were never asked for, before the reader's end.
  void finish();
  void fail(const std::string& message);
  std::string full_name(const std::string& key) const {
    return name_.empty() ? key : name_ + "." + key;
  }

 private:
  void wrong(const char* key, const toml::node& node, const std::string& expected);
  // Each value of a list through the reader of single ones, as key[0], key[1], ...
  template <typename T, typename... Range>
  void read_list(const char* key, std::vector<T>& values, Range... range);

  const toml::table* table_;
  std::string name_;
  Status& status_;
  std::set<std::string> asked_;
};

// Parses TOML text; syntax errors name line and column.
Result<toml::table> parse_toml(const std::string& text, const std::string& what);

// Puts "batch.sequences=4", a dotted key and a TOML value, into the table.
Status apply_toml_override(toml::table& root, const std::string& text);

}  // namespace looplm

#endif  // LOOPLM_TRAIN_TOML_READER_H_
