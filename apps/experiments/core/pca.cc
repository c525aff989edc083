#include "experiments/core/pca.h"

#include <algorithm>
#include <cmath>

#include <Eigen/Dense>
#include <fmt/format.h>

namespace looplm {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

Result<Pca> principal_components(std::span<const float> vectors, size_t width, size_t components) {
  if (width == 0 || vectors.size() % width != 0 || vectors.size() / width < 2) {
    return invalid_argument(fmt::format("{} numbers in vectors of {}; expected two or more vectors",
                                        vectors.size(), width));
  }
  const size_t n = vectors.size() / width;
  if (components < 1 || components > std::min(n, width)) {
    return invalid_argument(fmt::format("{} components of {} vectors of {}; expected 1 to {}",
                                        components, n, width, std::min(n, width)));
  }
  const auto bad =
      std::find_if_not(vectors.begin(), vectors.end(), [](float x) { return std::isfinite(x); });
  if (bad != vectors.end()) {
    return invalid_argument(fmt::format("vector {} holds {}; expected finite numbers",
                                        (bad - vectors.begin()) / static_cast<ptrdiff_t>(width),
                                        *bad));
  }
  using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const RowMajor> rows(vectors.data(), static_cast<Index>(n),
                                        static_cast<Index>(width));
  MatrixXd x = rows.cast<double>();
  const VectorXd mean = x.colwise().mean();
  x.rowwise() -= mean.transpose();
  // Eigenvectors of the smaller product of x with itself. A singular value decomposition is more
  // exact about what hardly varies, and takes far longer to compile.
  const bool wide = x.cols() > x.rows();
  MatrixXd product(std::min(x.rows(), x.cols()), std::min(x.rows(), x.cols()));
  if (wide) {
    product.noalias() = x * x.transpose();
  } else {
    product.noalias() = x.transpose() * x;
  }
  const Eigen::SelfAdjointEigenSolver<MatrixXd> eigen(product);  // the largest value last

  Pca pca;
  pca.components = components;
  pca.mean.assign(mean.begin(), mean.end());
  const double total = x.squaredNorm();
  for (size_t c = 0; c < components; ++c) {
    const Index at = product.rows() - 1 - static_cast<Index>(c);
    VectorXd v = eigen.eigenvectors().col(at);
    if (wide) v = x.transpose() * v;
    v.normalize();
    Index largest = 0;
    v.cwiseAbs().maxCoeff(&largest);
    if (v[largest] < 0) v = -v;
    pca.directions.insert(pca.directions.end(), v.begin(), v.end());
    pca.share.push_back(total > 0 ? std::max(eigen.eigenvalues()[at], 0.0) / total : 0);
  }
  for (Index i = 0; i < x.rows(); ++i) {
    for (size_t c = 0; c < components; ++c) {
      const Eigen::Map<const VectorXd> v(pca.directions.data() + c * width,
                                         static_cast<Index>(width));
      pca.projected.push_back(x.row(i).dot(v));
    }
  }
  return pca;
}

}  // namespace looplm
