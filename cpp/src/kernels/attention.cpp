// The mean-field dynamics of attention: one step of many trajectories at a time.
#include "attention_table.hpp"
#include "level.hpp"
#include "tanh.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

namespace {

using std::ptrdiff_t;

// One number of each trajectory of a block.
template <int V>
struct Wide {
  Vec<double> part[V];
};

template <int V, class Function>
inline Wide<V> each(const Function& function) {
  Wide<V> out;
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) out.part[v] = function(v);
  return out;
}

template <int V>
inline Wide<V> multiply_add(double a, const Wide<V>& b, const Wide<V>& c) {
  return each<V>([&](int v) { return fma(broadcast(a), b.part[v], c.part[v]); });
}
template <int V>
inline Wide<V> multiply_add(const Wide<V>& a, const Wide<V>& b, const Wide<V>& c) {
  return each<V>([&](int v) { return fma(a.part[v], b.part[v], c.part[v]); });
}
template <int V>
inline Wide<V> operator*(const Wide<V>& a, const Wide<V>& b) {
  return each<V>([&](int v) { return a.part[v] * b.part[v]; });
}
template <int V>
inline Wide<V> operator-(const Wide<V>& a, const Wide<V>& b) {
  return each<V>([&](int v) { return a.part[v] - b.part[v]; });
}

// x = m 2^e with 1 <= m < 2, for x > 0 normal; x = 0 gives e = -infinity.
inline Vec<double> split_exponent(Vec<double> x, Vec<double>& mantissa) {
  Bits<double> bits;
  std::memcpy(&bits, &x, sizeof bits);
  const Bits<double> fraction = (bits & 0x000FFFFFFFFFFFFFu) | 0x3FF0000000000000u;
  std::memcpy(&mantissa, &fraction, sizeof mantissa);
  // The exponent as the last bits of 2^52, in double precision.
  const Bits<double> shifted = (bits >> 52) | 0x4330000000000000u;
  Vec<double> exponent;
  std::memcpy(&exponent, &shifted, sizeof exponent);
  return x > 0 ? exponent - (0x1p52 + 1023) : broadcast(-__builtin_inf());
}

template <int V>
class Stepper {
 public:
  static constexpr ptrdiff_t kWidth = V * kLanes<double>;

  Stepper(const AttentionModel& model, const AttentionBlock& block, ptrdiff_t n)
      : model_(model),
        block_(block),
        m_(model.features),
        n_(n),
        beta_(get(block.beta)),
        coupling_(get(block.coupling)),
        weight_(get(block.weight)),
        keep_(each<V>([&](int v) { return 1.0 - weight_.part[v]; })) {
    double* next = block.scratch;
    const auto take = [&next](ptrdiff_t count) {
      double* const start = next;
      next += count * kWidth;
      return start;
    };
    tanhs_ = take(model.classes);
    fields_ = take(4 * m_);
    semantic_ = take(m_);
    mean_ = take(m_);
    shares_ = take(model.context);
    query_slopes_ = take(m_ * m_);
    covariance_ = take(m_ * m_);
    key_change_ = take(m_);
    jacobian_ = take(model.context * m_ * m_);
    change_ = take(m_ * n);
  }

  void fields(const double* tanhs, ptrdiff_t from, ptrdiff_t to, ptrdiff_t position) {
    if (tanhs == nullptr)
      tanhs_of(at(block_.attention, from * m_));
    else
      for (ptrdiff_t c = 0; c < model_.classes; ++c) put(tanhs_, c, get(at(tanhs, c)));
    read_out(position);
    for (ptrdiff_t a = 0; a < m_; ++a) {
      put(block_.values, to * m_ + a, field(1, a));
      put(block_.keys, to * m_ + a, field(3, a));
    }
    if (block_.value_slopes == nullptr) return;
    if (tanhs != nullptr) {
      for (ptrdiff_t k = to * m_ * m_; k < (to + 1) * m_ * m_; ++k) {
        put(block_.value_slopes, k, Wide<V>{});
        put(block_.key_slopes, k, Wide<V>{});
      }
      return;
    }
    square_slopes();
    slopes_of(0, at(block_.value_slopes, to * m_ * m_));
    slopes_of(1, query_slopes_);
    slopes_of(2, at(block_.key_slopes, to * m_ * m_));
  }

  // The mean of the window's values, into the newest slot.
  void attend(ptrdiff_t head, ptrdiff_t filled) {
    Wide<V> most = each<V>([](int) { return broadcast(-__builtin_inf()); });
    for (ptrdiff_t age = 0; age < filled; ++age) {
      const double* key = at(block_.keys, slot(head, age) * m_);
      Wide<V> score{};
      for (ptrdiff_t b = 0; b < m_; ++b) score = multiply_add(field(2, b), get(at(key, b)), score);
      score = score * coupling_;
      most = each<V>([&](int v) { return max(most.part[v], score.part[v]); });
      put(shares_, age, score);
    }
    Wide<V> sum{};
    for (ptrdiff_t age = 0; age < filled; ++age) {
      const Wide<V> score = get(at(shares_, age));
      const Wide<V> e = each<V>([&](int v) { return exp<double>(score.part[v] - most.part[v]); });
      sum = each<V>([&](int v) { return sum.part[v] + e.part[v]; });
      put(shares_, age, e);
    }
    inverse_sum_ = each<V>([&](int v) { return 1.0 / sum.part[v]; });
    for (ptrdiff_t a = 0; a < m_; ++a) {
      Wide<V> mean{};
      for (ptrdiff_t age = 0; age < filled; ++age)
        mean = multiply_add(get(at(shares_, age)), get(at(block_.values, slot(head, age) * m_ + a)),
                            mean);
      put(mean_, a, mean * inverse_sum_);
      put(block_.attention, head * m_ + a, get(at(mean_, a)));
    }
  }

  // The derivative of the attention by that of every slot, newest first.
  void differentiate(ptrdiff_t head, ptrdiff_t filled) {
    for (ptrdiff_t k = 0; k < m_ * m_; ++k) put(covariance_, k, Wide<V>{});
    for (ptrdiff_t age = 0; age < filled; ++age) {
      const ptrdiff_t s = slot(head, age);
      const Wide<V> share = get(at(shares_, age)) * inverse_sum_;
      for (ptrdiff_t b = 0; b < m_; ++b) {
        Wide<V> sum{};
        for (ptrdiff_t c = 0; c < m_; ++c)
          sum = multiply_add(field(2, c), get(at(block_.key_slopes, (s * m_ + c) * m_ + b)), sum);
        put(key_change_, b, sum * coupling_);
      }
      for (ptrdiff_t a = 0; a < m_; ++a) {
        const Wide<V> apart = (get(at(block_.values, s * m_ + a)) - get(at(mean_, a))) * share;
        for (ptrdiff_t b = 0; b < m_; ++b) {
          const Wide<V> slope = get(at(block_.value_slopes, (s * m_ + a) * m_ + b));
          put(jacobian_, (age * m_ + a) * m_ + b,
              multiply_add(apart, get(at(key_change_, b)), slope * share));
          const Wide<V> key = get(at(block_.keys, s * m_ + b)) * coupling_;
          put(covariance_, a * m_ + b, multiply_add(apart, key, get(at(covariance_, a * m_ + b))));
        }
      }
    }
    for (ptrdiff_t a = 0; a < m_; ++a)
      for (ptrdiff_t b = 0; b < m_; ++b) {
        Wide<V> sum = get(at(jacobian_, a * m_ + b));
        for (ptrdiff_t c = 0; c < m_; ++c)
          sum = multiply_add(get(at(covariance_, a * m_ + c)), get(at(query_slopes_, c * m_ + b)),
                             sum);
        put(jacobian_, a * m_ + b, sum);
      }
  }

  // Tangents of the window, oldest slot overwritten by the newest.
  void push_tangents(ptrdiff_t head) {
    const ptrdiff_t previous = slot(head, 1);
    for (ptrdiff_t a = 0; a < m_; ++a)
      for (ptrdiff_t i = 0; i < n_; ++i) {
        Wide<V> sum{};
        for (ptrdiff_t age = 0; age < model_.context; ++age)
          for (ptrdiff_t b = 0; b < m_; ++b)
            sum = multiply_add(get(at(jacobian_, (age * m_ + a) * m_ + b)),
                               get(at(block_.tangents, (slot(previous, age) * m_ + b) * n_ + i)),
                               sum);
        put(change_, a * n_ + i, sum);
      }
    for (ptrdiff_t k = 0; k < m_ * n_; ++k)
      put(block_.tangents, head * m_ * n_ + k, get(at(change_, k)));
  }

  // Modified Gram-Schmidt on the columns.
  void orthonormalise() {
    const ptrdiff_t rows = model_.context * m_;
    double* const y = block_.tangents;
    for (ptrdiff_t i = 0; i < n_; ++i) {
      Wide<V> square{};
      for (ptrdiff_t r = 0; r < rows; ++r) {
        const Wide<V> entry = get(at(y, r * n_ + i));
        square = multiply_add(entry, entry, square);
      }
      const Wide<V> norm = each<V>([&](int v) { return square_root(square.part[v]); });
      const Wide<V> inverse =
          each<V>([&](int v) { return norm.part[v] > 0 ? 1.0 / norm.part[v] : Vec<double>{}; });
      multiply(i, norm);
      for (ptrdiff_t r = 0; r < rows; ++r) put(y, r * n_ + i, get(at(y, r * n_ + i)) * inverse);
      for (ptrdiff_t j = i + 1; j < n_; ++j) {
        Wide<V> minus_dot{};
        for (ptrdiff_t r = 0; r < rows; ++r)
          minus_dot = minus_dot - get(at(y, r * n_ + i)) * get(at(y, r * n_ + j));
        for (ptrdiff_t r = 0; r < rows; ++r)
          put(y, r * n_ + j,
              multiply_add(minus_dot, get(at(y, r * n_ + i)), get(at(y, r * n_ + j))));
      }
    }
  }

  double* record(AttentionRecord what, double* to) const {
    const auto copy = [&to](const double* from, ptrdiff_t count) {
      std::memcpy(to, from, static_cast<std::size_t>(count * kWidth) * sizeof(double));
      to += count * kWidth;
    };
    if (what == AttentionRecord::everything) {
      copy(mean_, m_);
      copy(fields_, 4 * m_);
    }
    copy(semantic_, m_);
    return to;
  }

  double* write_jacobian(double* to) const {
    const ptrdiff_t count = model_.context * m_ * m_ * kWidth;
    std::memcpy(to, jacobian_, static_cast<std::size_t>(count) * sizeof(double));
    return to + count;
  }

 private:
  static const double* at(const double* array, ptrdiff_t k) { return array + k * kWidth; }
  static double* at(double* array, ptrdiff_t k) { return array + k * kWidth; }
  static Wide<V> get(const double* p) {
    return each<V>([p](int v) { return load(p + v * kLanes<double>); });
  }
  static void put(double* array, ptrdiff_t k, const Wide<V>& value) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store(at(array, k) + v * kLanes<double>, value.part[v]);
  }
  static Vec<double> square_root(Vec<double> x) {
    for (int l = 0; l < kLanes<double>; ++l) x[l] = __builtin_sqrt(x[l]);
    return x;
  }

  // Which slot is `age` before the head.
  ptrdiff_t slot(ptrdiff_t head, ptrdiff_t age) const {
    return head >= age ? head - age : head - age + model_.context;
  }
  // Of the token being read out; kind 0 to 3 is o, v, q, k.
  Wide<V> field(int kind, ptrdiff_t a) const { return get(at(fields_, kind * m_ + a)); }

  void tanhs_of(const double* attention) {
    for (ptrdiff_t c = 0; c < model_.classes; ++c) {
      Wide<V> x{};
      for (ptrdiff_t b = 0; b < m_; ++b)
        x = multiply_add(model_.projection[c * m_ + b], get(at(attention, b)), x);
      x = x * beta_;
      put(tanhs_, c, each<V>([&](int v) { return tanh(x.part[v]); }));
    }
  }

  void read_out(ptrdiff_t position) {
    for (ptrdiff_t j = 0; j < 4 * m_; ++j) {
      Wide<V> sum{};
      for (ptrdiff_t c = 0; c < model_.classes; ++c)
        sum = multiply_add(model_.readouts[j * model_.classes + c], get(at(tanhs_, c)), sum);
      sum = sum * keep_;
      if (j < m_) put(semantic_, j, sum);
      put(fields_, j, multiply_add(model_.positions[position * 4 * m_ + j], weight_, sum));
    }
  }

  // tanh becomes (1 - epsilon) beta tanh'.
  void square_slopes() {
    const Wide<V> factor = keep_ * beta_;
    for (ptrdiff_t c = 0; c < model_.classes; ++c) {
      const Wide<V> t = get(at(tanhs_, c));
      put(tanhs_, c, each<V>([&](int v) {
            return fma(-t.part[v], t.part[v], broadcast(1.0)) * factor.part[v];
          }));
    }
  }

  void slopes_of(ptrdiff_t kind, double* slopes) {
    for (ptrdiff_t k = 0; k < m_ * m_; ++k) {
      const double* row = model_.slopes + (kind * m_ * m_ + k) * model_.classes;
      Wide<V> sum{};
      for (ptrdiff_t c = 0; c < model_.classes; ++c)
        sum = multiply_add(row[c], get(at(tanhs_, c)), sum);
      put(slopes, k, sum);
    }
  }

  void multiply(ptrdiff_t i, const Wide<V>& factor) {
    const Wide<V> product = get(at(block_.mantissas, i)) * factor;
    Wide<V> mantissa, exponent = get(at(block_.exponents, i));
    for (int v = 0; v < V; ++v)
      exponent.part[v] += split_exponent(product.part[v], mantissa.part[v]);
    put(block_.mantissas, i, mantissa);
    put(block_.exponents, i, exponent);
  }

  const AttentionModel& model_;
  const AttentionBlock& block_;
  const ptrdiff_t m_, n_;
  const Wide<V> beta_, coupling_, weight_, keep_;
  Wide<V> inverse_sum_{};
  double *tanhs_, *fields_, *semantic_, *mean_, *shares_;
  double *query_slopes_, *covariance_, *key_change_, *jacobian_, *change_;
};

// The fields of the next token, in the slot that becomes the newest.
template <int V>
void advance(Stepper<V>& stepper, const AttentionModel& model, AttentionBlock& block,
             const double* tanhs) {
  const ptrdiff_t previous = block.head;
  block.head = previous + 1 == model.context ? 0 : previous + 1;
  if (block.filled < model.context) ++block.filled;
  stepper.fields(tanhs, previous, block.head, block.position);
  block.position = block.position + 1 == model.context ? 0 : block.position + 1;
  stepper.attend(block.head, block.filled);
}

template <int V>
void fields(const AttentionModel& model, const AttentionBlock& block, const double* tanhs,
            ptrdiff_t from, ptrdiff_t to, ptrdiff_t position) {
  Stepper<V>(model, block, 0).fields(tanhs, from, to, position);
}

template <int V>
void simulate(const AttentionModel& model, AttentionBlock& block, const double* tanhs,
              ptrdiff_t steps, AttentionRecord what, double* record) {
  Stepper<V> stepper(model, block, 0);
  for (ptrdiff_t step = 0; step < steps; ++step) {
    advance(stepper, model, block, step == 0 ? tanhs : nullptr);
    if (what != AttentionRecord::nothing) record = stepper.record(what, record);
  }
}

template <int V>
void linearise(const AttentionModel& model, AttentionBlock& block, ptrdiff_t steps, ptrdiff_t n,
               double* jacobians) {
  Stepper<V> stepper(model, block, n);
  for (ptrdiff_t step = 0; step < steps; ++step) {
    advance<V>(stepper, model, block, nullptr);
    stepper.differentiate(block.head, block.filled);
    if (jacobians != nullptr) jacobians = stepper.write_jacobian(jacobians);
    if (n == 0) continue;
    stepper.push_tangents(block.head);
    stepper.orthonormalise();
  }
}

template <int V>
constexpr AttentionKernels kernels_of() {
  return {V * kLanes<double>, fields<V>, simulate<V>, linearise<V>};
}

}  // namespace

const AttentionKernels attention[kAttentionShapes] = {kernels_of<1>(), kernels_of<2>()};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
