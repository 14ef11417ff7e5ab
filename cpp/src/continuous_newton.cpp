// Newton's method for fixed points of continuous Hopfield networks.
#include <algorithm>
#include <cmath>
#include <utility>

#include "hopfix/continuous_hopfield.hpp"
#include "hopfix/isa.hpp"
#include "kernels/table.hpp"
#include "shared_stop.hpp"
#include "sums.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

// f and the slopes D at one state xi, and the residual |f - xi|.
struct Evaluation {
  std::vector<double> value, slopes;
  double residual = 0;
};

// Newton from one state after another; one per thread.
class Newton {
 public:
  explicit Newton(const ContinuousNetwork<double>& network)
      : network_(network),
        n_(network.size()),
        dim_(network.dim()),
        overlaps_(at(n_)),
        step_(at(dim_)),
        trial_(at(dim_)) {}

  // Sets steps and residual; returns whether the residual is within tol max(1, |state|).
  // `go_on` is asked once a step.
  template <class GoOn>
  bool solve(double* state, std::int64_t max_steps, double tol, std::int64_t& steps,
             double& residual, const GoOn& go_on) {
    evaluate(state, here_);
    std::int64_t patience = 1, plain = 0;
    for (steps = 0;; ++steps) {
      residual = here_.residual;
      if (residual <= tol * std::max(1.0, norm(state, dim_))) return true;
      if (steps == max_steps || !go_on()) return false;
      if (plain > 0) {
        --plain;
      } else {
        find_step(state);
        if (take_part(state)) continue;
        plain = patience - 1;
        patience *= 2;
      }
      std::copy(here_.value.begin(), here_.value.end(), state);
      evaluate(state, here_);
    }
  }

 private:
  void evaluate(const double* state, Evaluation& e) {
    const auto& dense = *isa::table().dense;
    const double* x = network_.patterns().data();
    e.value.resize(at(dim_));
    e.slopes.resize(at(dim_));
    dense.matrix_vector(x, state, n_, dim_, overlaps_.data());
    dense.vector_matrix(overlaps_.data(), x, n_, dim_, e.value.data());
    for (size_t k = 0; k < e.value.size(); ++k) {
      const double own = network_.zero_diagonal() ? network_.diagonal()[k] * state[k] : 0;
      const double u = network_.gain() * (e.value[k] - own - network_.bias()[k]);
      const double decay = std::exp(-2 * std::fabs(u));
      e.value[k] = u;
      e.slopes[k] = network_.gain() * 4 * decay / ((1 + decay) * (1 + decay));
    }
    isa::table().tanh64(e.value.data(), e.value.data(), dim_);
    e.residual = distance(e.value.data(), state, dim_);
  }

  // step := (I - D W)^-1 r with r = f - xi. I - D W = E - D X^T X with E = I + D diag(w) where W
  // has no diagonal, else E = I; r and D are divided by E. Then by Woodbury's formula the step is
  // r + D X^T (I - X D X^T)^-1 X r.
  void find_step(const double* state) {
    std::vector<double>&r = step_, &d = here_.slopes;
    for (size_t k = 0; k < r.size(); ++k) {
      const double e = network_.zero_diagonal() ? 1 + d[k] * network_.diagonal()[k] : 1;
      r[k] = (here_.value[k] - state[k]) / e;
      d[k] /= e;
    }
    if (n_ >= dim_) return solve_whole();
    const auto& dense = *isa::table().dense;
    const double* x = network_.patterns().data();
    std::vector<double> rows(network_.patterns()), matrix(at(n_ * n_)), y(at(n_)), back(at(dim_));
    for (ptrdiff_t i = 0; i < n_; ++i)
      for (ptrdiff_t k = 0; k < dim_; ++k) rows[at(i * dim_ + k)] *= std::sqrt(d[at(k)]);
    dense.gram_rows(rows.data(), n_, dim_, matrix.data());
    for (double& entry : matrix) entry = -entry;
    for (ptrdiff_t i = 0; i < n_; ++i) matrix[at(i * (n_ + 1))] += 1;
    dense.matrix_vector(x, r.data(), n_, dim_, y.data());
    dense.solve(matrix.data(), n_, y.data());
    dense.vector_matrix(y.data(), x, n_, dim_, back.data());
    for (size_t k = 0; k < r.size(); ++k) r[k] += d[k] * back[k];
  }

  void solve_whole() {
    if (gram_.empty()) {
      gram_.resize(at(dim_ * dim_));
      isa::table().dense->gram_columns(network_.patterns().data(), n_, dim_, gram_.data());
    }
    std::vector<double> matrix(gram_);
    for (ptrdiff_t k = 0; k < dim_; ++k)
      for (ptrdiff_t l = 0; l < dim_; ++l) {
        double& entry = matrix[at(k * dim_ + l)];
        entry = (k == l ? 1 : 0) - here_.slopes[at(k)] * entry;
      }
    isa::table().dense->solve(matrix.data(), dim_, step_.data());
  }

  // Moves the state by the largest of the step, its half, ... that lowers the residual by a quarter
  // of what it does to first order, and evaluates there.
  bool take_part(double* state) {
    constexpr int kParts = 4;
    double part = 1;
    for (int attempt = 0; attempt < kParts; ++attempt, part /= 2) {
      for (ptrdiff_t k = 0; k < dim_; ++k) trial_[at(k)] = state[k] + part * step_[at(k)];
      evaluate(trial_.data(), there_);
      if (!(there_.residual < (1 - part / 4) * here_.residual)) continue;
      std::copy(trial_.begin(), trial_.end(), state);
      std::swap(here_, there_);
      return true;
    }
    return false;
  }

  const ContinuousNetwork<double>& network_;
  const ptrdiff_t n_, dim_;
  Evaluation here_, there_;
  std::vector<double> overlaps_, step_, trial_, gram_;
};

}  // namespace

Retrieval<double> solve_by_newton(const ContinuousNetwork<double>& network, const double* states,
                                  ptrdiff_t count, std::int64_t max_steps, double tol,
                                  const Execution& execution) {
  Retrieval<double> result;
  result.states.assign(states, states + count * network.dim());
  result.steps.resize(at(count));
  result.converged.resize(at(count));
  result.residual.resize(at(count));
  std::vector<std::unique_ptr<Newton>> solvers(at(std::max(1, execution.threads)));
  SharedStop stop(execution);
  parallel_for(count, stop.execution(), [&](ptrdiff_t s, int worker) {
    auto& solver = solvers[at(worker)];
    if (solver == nullptr) solver = std::make_unique<Newton>(network);
    const auto go_on = [&] { return !stop.requested(worker); };
    result.converged[at(s)] =
        solver->solve(result.states.data() + s * network.dim(), max_steps, tol, result.steps[at(s)],
                      result.residual[at(s)], go_on);
    if (stop.requested(worker)) throw Interrupted();
  });
  return result;
}

}  // namespace hopfix
