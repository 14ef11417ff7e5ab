"""The Performer seen as a Hopfield network: random features and retrieval in linear time.

`RandomFeatures` estimate exp(a·b); `Performer` retrieves through them, whatever the number of
patterns. `predicted_error` and `features_needed` say beforehand what they are worth.
"""

from hopfix._features import RandomFeatures
from hopfix._performer import Performer
from hopfix._predicted_error import features_needed, predicted_error

__all__ = ["Performer", "RandomFeatures", "features_needed", "predicted_error"]
