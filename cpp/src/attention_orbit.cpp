#include "hopfix/attention_orbit.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "hopfix/interval.hpp"
#include "hopfix/rounding.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;
using Intervals = std::vector<Interval>;

size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

void require_sound_arithmetic() {
  if (!arithmetic_is_sound())
    throw std::runtime_error(
        "this thread does not round to nearest with gradual underflow: no proof is possible");
}

// Of one x: 1 - 2 / (exp(2x) + 1) cancels around 0 by a few u only, absolutely.
Interval tanh_at(double x) {
  const Interval e = exp(Interval(2) * Interval(x));
  if (e.hi == kInfinity) return {rounded::add_down(1, -0x1p-52), 1};
  return Interval(1) - Interval(2) / (e + Interval(1));
}

Interval tanh(Interval x) {
  return {std::max(-1.0, tanh_at(x.lo).lo), std::min(1.0, tanh_at(x.hi).hi)};
}

double magnitude(Interval x) { return std::max(std::fabs(x.lo), std::fabs(x.hi)); }

// Fields o is not needed: values, queries, keys (0, 1, 2) of one token, and their slopes.
struct Token {
  Intervals fields;  // 3 x M
  Intervals slopes;  // 3 x M x M
};

class Enclosure {
 public:
  Enclosure(const AttentionSystem& system, double beta, double gamma, double weight)
      : s_(system),
        m_(system.features),
        beta_(beta),
        weight_(weight),
        keep_(Interval(1) - Interval(weight)),
        coupling_(Interval(gamma) / sqrt(Interval(static_cast<double>(m_)))) {}

  Token token(const Interval* attention, ptrdiff_t position, bool with_slopes) const {
    const ptrdiff_t k = s_.classes;
    Intervals tanhs(at(k));
    for (ptrdiff_t c = 0; c < k; ++c) {
      Interval x = 0;
      for (ptrdiff_t b = 0; b < m_; ++b)
        x = x + Interval(s_.projection[at(c * m_ + b)]) * attention[b];
      tanhs[at(c)] = tanh(beta_ * x);
    }
    Token token;
    for (ptrdiff_t j = m_; j < 4 * m_; ++j) {
      Interval sum = 0;
      for (ptrdiff_t c = 0; c < k; ++c)
        sum = sum + Interval(s_.readouts[at(j * k + c)]) * tanhs[at(c)];
      token.fields.push_back(keep_ * sum +
                             weight_ * Interval(s_.positions[at(position * 4 * m_ + j)]));
    }
    if (!with_slopes) return token;
    for (Interval& t : tanhs) t = (Interval(1) - t) * (Interval(1) + t);
    for (ptrdiff_t j = m_; j < 4 * m_; ++j)
      for (ptrdiff_t b = 0; b < m_; ++b) {
        Interval sum = 0;
        for (ptrdiff_t c = 0; c < k; ++c)
          sum = sum + Interval(s_.readouts[at(j * k + c)]) *
                          Interval(s_.projection[at(c * m_ + b)]) * tanhs[at(c)];
        token.slopes.push_back(keep_ * beta_ * sum);
      }
    return token;
  }

  // The attention of a window of tokens, newest first.
  Intervals attention(const std::vector<const Token*>& window) const {
    const Intervals shares = this->shares(window);
    Intervals mean(at(m_), Interval(0));
    for (size_t age = 0; age < window.size(); ++age)
      for (ptrdiff_t a = 0; a < m_; ++a)
        mean[at(a)] = mean[at(a)] + shares[age] * window[age]->fields[at(a)];
    return mean;
  }

  // Its derivatives (L x M x M) by the attentions before the tokens.
  Intervals derivative(const std::vector<const Token*>& window) const {
    const Intervals shares = this->shares(window), mean = attention(window);
    const Interval* query = window[0]->fields.data() + m_;
    Intervals blocks, covariance(at(m_ * m_), Interval(0));
    for (size_t age = 0; age < window.size(); ++age) {
      const Token& token = *window[age];
      for (ptrdiff_t a = 0; a < m_; ++a) {
        const Interval apart = shares[age] * (token.fields[at(a)] - mean[at(a)]) * coupling_;
        for (ptrdiff_t b = 0; b < m_; ++b) {
          Interval change = 0;
          for (ptrdiff_t c = 0; c < m_; ++c)
            change = change + query[c] * token.slopes[at((2 * m_ + c) * m_ + b)];
          blocks.push_back(shares[age] * token.slopes[at(a * m_ + b)] + apart * change);
          Interval& sum = covariance[at(a * m_ + b)];
          sum = sum + apart * token.fields[at(2 * m_ + b)];
        }
      }
    }
    for (ptrdiff_t a = 0; a < m_; ++a)
      for (ptrdiff_t b = 0; b < m_; ++b)
        for (ptrdiff_t c = 0; c < m_; ++c)
          blocks[at(a * m_ + b)] =
              blocks[at(a * m_ + b)] +
              covariance[at(a * m_ + c)] * window[0]->slopes[at((m_ + c) * m_ + b)];
    return blocks;
  }

 private:
  // 1 / sum exp(score - own score): no share depends on its own score twice.
  Intervals shares(const std::vector<const Token*>& window) const {
    const Interval* query = window[0]->fields.data() + m_;
    Intervals scores, shares;
    for (const Token* token : window) {
      Interval score = 0;
      for (ptrdiff_t b = 0; b < m_; ++b) score = score + query[b] * token->fields[at(2 * m_ + b)];
      scores.push_back(coupling_ * score);
    }
    for (size_t own = 0; own < scores.size(); ++own) {
      Interval sum = 1;
      for (size_t other = 0; other < scores.size(); ++other)
        if (other != own) sum = sum + exp(scores[other] - scores[own]);
      shares.push_back(Interval(1) / sum);
    }
    return shares;
  }

  const AttentionSystem& s_;
  const ptrdiff_t m_;
  const Interval beta_, weight_, keep_, coupling_;
};

// The cycle's equations around given attentions.
class Cycle {
 public:
  Cycle(const AttentionSystem& system, const Enclosure& enclosure, const double* attention,
        ptrdiff_t period, ptrdiff_t position)
      : system_(system),
        enclosure_(enclosure),
        attention_(attention),
        p_(period),
        position_(position) {}

  // All tokens for attentions within `radius` of those given: token t follows attention t - 1.
  std::vector<Token> tokens(double radius, bool with_slopes) const {
    const ptrdiff_t m = system_.features;
    std::vector<Token> tokens;
    for (ptrdiff_t t = 0; t < p_; ++t) {
      const double* before = attention_ + ((t + p_ - 1) % p_) * m;
      Intervals box;
      for (ptrdiff_t a = 0; a < m; ++a)
        box.push_back({rounded::add_down(before[a], -radius), rounded::add_up(before[a], radius)});
      tokens.push_back(
          enclosure_.token(box.data(), (position_ + t) % system_.context, with_slopes));
    }
    return tokens;
  }

  std::vector<const Token*> window(const std::vector<Token>& tokens, ptrdiff_t t) const {
    std::vector<const Token*> window;
    for (ptrdiff_t age = 0; age < system_.context; ++age)
      window.push_back(&tokens[at(back(t, age))]);
    return window;
  }

  // Step t - age, modulo p.
  ptrdiff_t back(ptrdiff_t t, ptrdiff_t age) const { return (t + p_ - age % p_) % p_; }

 private:
  const AttentionSystem& system_;
  const Enclosure& enclosure_;
  const double* attention_;
  const ptrdiff_t p_, position_;
};

// |C G(a)|.
UpperBound defect(const AttentionSystem& system, const Enclosure& enclosure, const Cycle& cycle,
                  const double* attention, ptrdiff_t period, const double* inverse) {
  const ptrdiff_t m = system.features, n = period * m;
  const std::vector<Token> tokens = cycle.tokens(0, false);
  Intervals miss;
  for (ptrdiff_t t = 0; t < period; ++t) {
    const Intervals image = enclosure.attention(cycle.window(tokens, t));
    for (ptrdiff_t a = 0; a < m; ++a) miss.push_back(Interval(attention[t * m + a]) - image[at(a)]);
  }
  double most = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    Interval sum = 0;
    for (ptrdiff_t k = 0; k < n; ++k) sum = sum + Interval(inverse[i * n + k]) * miss[at(k)];
    most = std::max(most, magnitude(sum));
  }
  return UpperBound(most);
}

// |I - C G'| over the ball.
UpperBound contraction(const AttentionSystem& system, const Enclosure& enclosure,
                       const Cycle& cycle, ptrdiff_t period, const double* inverse, double radius,
                       const Execution& execution) {
  const ptrdiff_t m = system.features, n = period * m, length = system.context;
  const std::vector<Token> tokens = cycle.tokens(radius, true);
  std::vector<Intervals> blocks(at(period));
  for (ptrdiff_t t = 0; t < period; ++t)
    blocks[at(t)] = enclosure.derivative(cycle.window(tokens, t));
  std::vector<double> sums(at(n));
  parallel_for(n, execution, [&](ptrdiff_t i, int) {
    require_sound_arithmetic();
    // Row i of C G' = C - C dF, column by column.
    Intervals row;
    for (ptrdiff_t k = 0; k < n; ++k) row.push_back(Interval(inverse[i * n + k]));
    for (ptrdiff_t t = 0; t < period; ++t)
      for (ptrdiff_t a = 0; a < m; ++a) {
        const Interval c = inverse[i * n + t * m + a];
        for (ptrdiff_t age = 0; age < length; ++age)
          for (ptrdiff_t b = 0; b < m; ++b) {
            Interval& entry = row[at(cycle.back(t, age + 1) * m + b)];
            entry = entry - c * blocks[at(t)][at((age * m + a) * m + b)];
          }
      }
    row[at(i)] = row[at(i)] - Interval(1);
    UpperBound sum(0);
    for (const Interval& entry : row) sum = sum + UpperBound(magnitude(entry));
    sums[at(i)] = sum.value();
  });
  return UpperBound(*std::max_element(sums.begin(), sums.end()));
}

}  // namespace

OrbitCertificate certify_attention_orbit(const AttentionSystem& system, double beta, double gamma,
                                         double position_weight, const double* attention,
                                         ptrdiff_t period, ptrdiff_t position,
                                         const double* inverse, const Execution& execution) {
  require_sound_arithmetic();
  const Enclosure enclosure(system, beta, gamma, position_weight);
  const Cycle cycle(system, enclosure, attention, period, position);
  const UpperBound miss = defect(system, enclosure, cycle, attention, period, inverse);
  OrbitCertificate certificate;
  if (!(miss.value() < 1)) return certificate;
  // Larger and larger balls, as long as they contract.
  for (double rho = std::max(2 * miss.value(), 1e-14); rho < 1; rho *= 4) {
    const UpperBound nu = contraction(system, enclosure, cycle, period, inverse, rho, execution);
    if (!(nu.value() < 1) || !((miss + nu * UpperBound(rho)).value() < rho)) break;
    if (!certificate.certified()) certificate.radius = (miss / lower_bound(1 - nu.value())).value();
    certificate.uniqueness_radius = rho;
  }
  return certificate;
}

}  // namespace hopfix
