#include "experiments/core/study_report.h"

#include <fmt/format.h>

#include "base/file.h"

namespace looplm {
namespace {

Table claims_table(const std::vector<Claim>& claims) {
  Table table = {.columns = {"The paper's claim", "Reproduced?", "Found here"}};
  for (const Claim& claim : claims) {
    table.rows.push_back(
        {claim.claim, fmt::format("**{}**", verdict_name(claim.verdict)), claim.finding});
  }
  return table;
}

// Results that another version wrote may lack something.
Result<StudyReport> report_of(const Study& study, const CellResults& results) {
  try {
    return study.report(results);
  } catch (const Json::exception& error) {
    return invalid_argument(fmt::format("results of the study {}: {}", study.name(), error.what()));
  }
}

Document page_of(const Study& study, const StudyRecord& record, const StudyReport& report) {
  Document page;
  page.title = report.document.title;
  page.paragraph(study.question());
  if (!report.claims.empty()) page.table(claims_table(report.claims));
  page.blocks.insert(page.blocks.end(), report.document.blocks.begin(),
                     report.document.blocks.end());
  page.heading("Settings");
  page.paragraph(fmt::format(
      "Made on {} by `looplm experiment run {}`; the settings (for `--settings`) and all "
      "figures are in `results.json`.",
      record.processor, study.name()));
  return page;
}

}  // namespace

Result<Document> study_page(const Study& study, const StudyRecord& record) {
  LOOPLM_ASSIGN_OR_RETURN(const StudyReport report, report_of(study, record.results));
  return page_of(study, record, report);
}

Status write_study_report(const Study& study, const StudyRecord& record, const std::string& out) {
  LOOPLM_ASSIGN_OR_RETURN(const StudyReport report, report_of(study, record.results));
  OrderedJson json;
  json["study"] = study.name();
  json["question"] = study.question();
  json["processor"] = record.processor;
  json["settings"] = record.settings;
  for (const Claim& claim : report.claims) {
    OrderedJson one;
    one["claim"] = claim.claim;
    one["verdict"] = verdict_name(claim.verdict);
    one["finding"] = claim.finding;
    json["claims"].push_back(std::move(one));
  }
  for (const auto& [id, result] : record.results)
    json["cells"][id] = parse_ordered_json(dump_json(result), id).value();
  LOOPLM_RETURN_IF_ERROR(write_text_file(out + "/results.json", dump_json(json, 1) + "\n"));

  return write_document(page_of(study, record, report), out, "report");
}

}  // namespace looplm
