#include "experiments/core/estimates.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/check.h"

namespace looplm {
namespace {

// The 97.5% point of Student's t with 1, 2, ... degrees of freedom; beyond, the normal's.
double student(size_t degrees) {
  constexpr std::array<double, 15> kPoints = {12.706, 4.303, 3.182, 2.776, 2.571,
                                              2.447,  2.365, 2.306, 2.262, 2.228,
                                              2.201,  2.179, 2.160, 2.145, 2.131};
  return degrees <= kPoints.size() ? kPoints[degrees - 1] : 1.96;
}

}  // namespace

void from_json(const Json& json, Estimate& e) {
  e = {json.at(0).get<double>(), json.at(1).get<double>(), json.at(2).get<double>()};
}

Json nulls_as_nan(Json json) {
  if (json.is_null()) return std::nan("");
  if (json.is_structured()) {
    for (Json& value : json) value = nulls_as_nan(std::move(value));
  }
  return json;
}

Estimate mean_of(const std::vector<double>& values) {
  LOOPLM_CHECK(!values.empty());
  const auto count = static_cast<double>(values.size());
  double mean = 0;
  for (double v : values) mean += v / count;
  if (values.size() == 1) return {mean, mean, mean};
  double square = 0;
  for (double v : values) square += (v - mean) * (v - mean);
  const double half = student(values.size() - 1) * std::sqrt(square / (count - 1) / count);
  return {mean, mean - half, mean + half};
}

Estimate over_seeds(const std::vector<Estimate>& repeats) {
  LOOPLM_CHECK(!repeats.empty());
  if (repeats.size() == 1) return repeats[0];
  std::vector<double> values;
  for (const Estimate& e : repeats) values.push_back(e.value);
  return mean_of(values);
}

Estimate share_of(int64_t count, int64_t all) {
  constexpr double kNormal95 = 1.96;
  if (all == 0) return {std::nan(""), std::nan(""), std::nan("")};
  const auto n = static_cast<double>(all);
  const double p = static_cast<double>(count) / n, z2 = kNormal95 * kNormal95;
  const double middle = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kNormal95 / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  return {p, count == 0 ? 0 : std::max(0.0, middle - half),
          count == all ? 1 : std::min(1.0, middle + half)};
}

Estimate slope_of(std::span<const double> x, std::span<const double> y) {
  LOOPLM_CHECK(x.size() == y.size() && x.size() >= 2);
  const auto count = static_cast<double>(x.size());
  double mean_x = 0, mean_y = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    mean_x += x[i] / count;
    mean_y += y[i] / count;
  }
  double xx = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    xy += (x[i] - mean_x) * (y[i] - mean_y);
  }
  LOOPLM_CHECK(xx > 0);
  const double slope = xy / xx;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (x.size() == 2) return {slope, -kInfinity, kInfinity};
  double square = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double residual = y[i] - mean_y - slope * (x[i] - mean_x);
    square += residual * residual;
  }
  const double half = student(x.size() - 2) * std::sqrt(square / (count - 2) / xx);
  return {slope, slope - half, slope + half};
}

std::string percent_text(const Estimate& e) {
  return fmt::format("{:.1f}% [{:.1f}, {:.1f}]", 100 * e.value, 100 * e.low, 100 * e.high);
}

std::string points_text(const Estimate& e) {
  return signed_text({100 * e.value, 100 * e.low, 100 * e.high}, 1);
}

std::string signed_text(const Estimate& e, int digits) {
  return fmt::format("{:+.{}f} [{:+.{}f}, {:+.{}f}]", e.value, digits, e.low, digits, e.high,
                     digits);
}

std::string number_text(const Estimate& e, int digits) {
  return fmt::format("{:.{}f} [{:.{}f}, {:.{}f}]", e.value, digits, e.low, digits, e.high, digits);
}

Series estimate_series(const std::string& name, const std::vector<double>& x,
                       const std::vector<Estimate>& y, double scale) {
  LOOPLM_CHECK(x.size() == y.size());
  Series series;
  series.name = name;
  series.x = x;
  for (const Estimate& e : y) {
    series.y.push_back(scale * e.value);
    series.low.push_back(scale * e.low);
    series.high.push_back(scale * e.high);
  }
  return series;
}

}  // namespace looplm
