// What a study is: a question, units of work whose results are JSON, and a report made of them.
//
// A study is cut into cells. A cell is a pure function of the study's settings (and of the results
// of the cells it names as needed): training one model, measuring one condition. The runner
// (runner.h) runs cells, several at once if asked, keeps each one's result as a file, and skips
// those that are there, so a run that was interrupted goes on; a training inside a cell resumes
// from its checkpoint.
#ifndef LOOPLM_EXPERIMENTS_CORE_STUDY_H_
#define LOOPLM_EXPERIMENTS_CORE_STUDY_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/json.h"
#include "eval/document.h"
#include "train/toml_reader.h"

namespace looplm {

// Results of cells by id.
using CellResults = std::map<std::string, Json>;

struct CellContext {
  std::string directory;  // the cell's own; exists, and may hold what an interrupted run left
  // Of the cells this one needs, by id.
  std::map<std::string, std::string> needed_directories;
  CellResults needed;
  int threads = 1;
  // When it turns true the cell should return kCancelled soon.
  const std::atomic<bool>* stop = nullptr;
  // Says how far the cell is, 0 to 1, and what it is doing, in a few words.
  std::function<void(double share, const std::string& note)> progress;

  bool stopped() const { return stop != nullptr && stop->load(); }
  // For work that takes the cell from one share to another: hears the share of it that is done, and
  // says false once it should stop.
  std::function<bool(double)> reporter(const std::string& note, double from = 0,
                                       double to = 1) const;
};
Status stopped_cell();  // kCancelled

struct Cell {
  std::string id;                  // names its folder: letters, digits, '-', '_', '.' and '='
  double cost = 1;                 // relative time, for the estimate of what is left
  std::vector<std::string> needs;  // ids of cells that must be done before
  std::function<Result<OrderedJson>(const CellContext&)> run;
};

// One that runs `function` on the settings, which it keeps a reference to, the arguments, and its
// context.
template <typename Function, typename Settings, typename... Arguments>
Cell make_cell(std::string id, double cost, std::vector<std::string> needs, Function function,
               const Settings& settings, Arguments... arguments) {
  return {std::move(id), cost, std::move(needs), [=, &settings](const CellContext& context) {
            return function(settings, arguments..., context);
          }};
}

enum class Verdict { kReproduced, kPartly, kNotReproduced, kNotTested };
const char* verdict_name(Verdict verdict);  // "reproduced", "partly", "not", "not tested"
// Reproduced, or else partly, or else not.
Verdict graded(bool reproduced, bool partly);
// Reproduced if every part holds, partly if some do; not tested without parts.
Verdict graded_all(const std::vector<bool>& parts);

// A claim of the paper and what the study found.
struct Claim {
  std::string claim;  // as the paper has it, with its numbers
  Verdict verdict = Verdict::kNotTested;
  std::string finding{};  // ours, with numbers
};

struct StudyReport {
  std::vector<Claim> claims;
  Document document;  // without the claims, which the report puts first
};

class Study {
 public:
  virtual ~Study() = default;
  virtual std::string name() const = 0;      // also its folder under studies/
  virtual std::string question() const = 0;  // one line

  // Reads the settings and checks them; called before all else.
  virtual Status configure(TomlReader& settings) = 0;
  // Of the configured study, in the order to run them; ids unique.
  virtual std::vector<Cell> cells() const = 0;
  // Of a configured study, from the results of all its cells. Costs little.
  virtual Result<StudyReport> report(const CellResults& results) const = 0;
};

// A result as it was before it became JSON; what is missing or of another kind is an error.
template <typename T>
Result<T> result_of(const Json& json) {
  try {
    return json.get<T>();
  } catch (const Json::exception& error) {
    return invalid_argument(error.what());
  }
}

// A study made of functions of its settings. Cells may keep references to the settings.
template <typename Settings>
class StudyOf : public Study {
 public:
  using Read = Status (*)(TomlReader&, Settings&);
  using Cells = std::vector<Cell> (*)(const Settings&);
  using Report = Result<StudyReport> (*)(const Settings&, const CellResults&);

  StudyOf(std::string of_name, std::string asked, Read read, Cells cells_of, Report report_of)
      : name_(std::move(of_name)),
        question_(std::move(asked)),
        read_(read),
        cells_(cells_of),
        report_(report_of) {}

  std::string name() const override { return name_; }
  std::string question() const override { return question_; }
  Status configure(TomlReader& reader) override {
    settings_ = {};
    return read_(reader, settings_);
  }
  std::vector<Cell> cells() const override { return cells_(settings_); }
  Result<StudyReport> report(const CellResults& results) const override {
    return report_(settings_, results);
  }

 private:
  std::string name_, question_;
  Read read_;
  Cells cells_;
  Report report_;
  Settings settings_;
};

// The studies; studies/NAME/README.md describes each.
std::unique_ptr<Study> make_capo_study();
std::unique_ptr<Study> make_depth_study();
std::unique_ptr<Study> make_exits_study();
std::unique_ptr<Study> make_faithfulness_study();
std::unique_ptr<Study> make_kv_study();
std::unique_ptr<Study> make_mano_study();
std::unique_ptr<Study> make_multihop_study();
std::unique_ptr<Study> make_prior_study();
std::unique_ptr<Study> make_reachability_study();
std::unique_ptr<Study> make_safety_study();
std::unique_ptr<Study> make_scaling_study();
std::unique_ptr<Study> make_speculation_study();

// All studies, by name; in the order in which the README lists them.
struct StudyEntry {
  std::string name;
  std::function<std::unique_ptr<Study>()> make;
};
const std::vector<StudyEntry>& all_studies();

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_STUDY_H_
