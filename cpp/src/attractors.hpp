// Stable fixed points that many queries end in, each with a ball of states from which plain
// iteration is proved to reach it. They belong to the network, so that no query depends on others.
//
// Let a be a state with residual r = |f(a) - a|, lambda the largest eigenvalue of J(a), R the
// largest distance of a pattern from a. For a unit vector v and x = a + t v, with u any direction,
//
//   d/dt Var_u = beta E[(u.(x_i - f))^2 v.(x_i - f)] <= beta (R + |f(x) - a|) Var_u,
//
// so as long as |f(x) - a| <= t + r the eigenvalues of J stay below lambda exp(beta (R + r + t) t),
// and with s = beta (R + r + t) t
//
//   |f(x) - a| <= r + kappa(t) t,    kappa(t) = lambda (e^s - 1) / s.
//
// Where kappa(t) <= 0.99 this is below t for t > 100 r: plain iteration from the ball of radius t
// comes within 100 r of a, where f is a contraction, hence to the one fixed point there.
// That is the mathematics; lambda is a Lanczos estimate with a margin of 2 %.
#pragma once

#include <vector>

#include "hopfix/network.hpp"

namespace hopfix {

template <class T>
struct Attractor {
  std::vector<T> state;
  double residual;  // as the update measures it
  double reach;     // plain iteration from within ends here
};

template <class T>
class Attractors {
 public:
  // What an iteration that begins with plain updates reaches from `count` states.
  Attractors(const Network<T>& network, const T* starts, std::ptrdiff_t count,
             const Execution& execution);

  // Where plain iteration from the state is proved to end, if that is known; else nullptr.
  const Attractor<T>* of(const T* state) const;

 private:
  void add(const Network<T>& network, const T* state, double residual, const Execution& execution);

  std::vector<Attractor<T>> found_;
};

extern template class Attractors<float>;
extern template class Attractors<double>;

}  // namespace hopfix
