from deisa.ray import Deisa
from deisa.ray.types import Window

deisa = Deisa()


@deisa.register(Window("temperature"))
def analyse(temperature):
    array = temperature[-1]
    print("timestep", array.t, "mean", array.mean().compute(), flush=True)


deisa.execute_callbacks()
