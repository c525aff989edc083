// Records of delimited text, quoted as in RFC 4180.
#ifndef LOOPLM_EXPERIMENTS_CORE_DELIMITED_H_
#define LOOPLM_EXPERIMENTS_CORE_DELIMITED_H_

#include <string>
#include <string_view>
#include <vector>

#include "looplm/status.h"

namespace looplm {

class DelimitedReader {
 public:
  DelimitedReader(std::string_view text, char delimiter) : rest_(text), delimiter_(delimiter) {}

  bool ended() const { return rest_.empty(); }
  int line() const { return line_; }  // of the next record, from 1

  // The fields of the next record. One that begins with a quotation mark ends with one, and may
  // hold delimiters, line ends and doubled quotation marks. Records end with LF or CR LF.
  Result<std::vector<std::string>> next();

 private:
  Status read_quoted(std::string& field);

  std::string_view rest_;
  char delimiter_;
  int line_ = 1;
};

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_DELIMITED_H_
