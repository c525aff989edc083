// Estimates with their intervals, in results and in reports.
#ifndef LOOPLM_EXPERIMENTS_CORE_ESTIMATES_H_
#define LOOPLM_EXPERIMENTS_CORE_ESTIMATES_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "eval/bootstrap.h"
#include "eval/figure.h"

namespace looplm {

// [value, low, high]
template <typename AnyJson>
void to_json(AnyJson& json, const Estimate& e) {
  json = AnyJson::array({e.value, e.low, e.high});
}
void from_json(const Json& json, Estimate& e);

// With NaN for every null in it: what was not measured.
Json nulls_as_nan(Json json);

// The mean, with the 95% interval that the spread over repeats (seeds) gives: Student's t on the
// standard error. One value has no interval: low and high are the value.
Estimate mean_of(const std::vector<double>& values);

// Of one measure in repeats (seeds): a single one as it is, with the interval over its examples; of
// several mean_of their values.
Estimate over_seeds(const std::vector<Estimate>& repeats);

// The share `count` of `all` with Wilson's 95% interval, which has a width where nothing, or
// everything, was counted; NaN of nothing.
Estimate share_of(int64_t count, int64_t all);

// The slope of the straight line of least squares, with its 95% interval (Student's t). Two points
// have no interval: low and high are minus and plus infinity. x must hold different values.
Estimate slope_of(std::span<const double> x, std::span<const double> y);

// "66.0% [64.1, 67.9]"; "+2.1 [+0.3, +3.9]" points; "+0.26 [-0.03, +0.55]"; "0.256 [0.230, 0.283]"
std::string percent_text(const Estimate& e);
std::string points_text(const Estimate& e);
std::string signed_text(const Estimate& e, int digits);
std::string number_text(const Estimate& e, int digits);

// A curve with error bars; `scale` multiplies all values.
Series estimate_series(const std::string& name, const std::vector<double>& x,
                       const std::vector<Estimate>& y, double scale);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_ESTIMATES_H_
