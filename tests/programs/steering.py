"""Analytics that set a value for each timestep of the array "field", from its mean."""

from deisa.ray import Deisa
from deisa.ray.types import Window

deisa = Deisa()


@deisa.register(Window("field"))
def analyse(field):
    newest = field[-1]
    deisa.set("gain", 1.0 / (1.0 + float(newest.mean().compute())), timestep=newest.t)


deisa.execute_callbacks()
