# SPDX-License-Identifier: Apache-2.0
from spack.package import *
from spack_repo.builtin.build_systems.cmake import CMakePackage, generator


class DeisaBridge(CMakePackage):
    """Connects a running simulation in C, C++, Fortran or Java to deisa-ray analytics.

    It is built from a checkout: spack install deisa-bridge dev_path=/path/to/checkout
    """

    license("Apache-2.0")

    version("0.2.0")

    variant("mpi", default=True, description="The MPI communicator")
    variant("gloo", default=True, description="The communicator for ranks without MPI")
    variant("yaml", default=True, description="Settings files in YAML")
    variant("fortran", default=True, description="The Fortran module")
    variant("java", default=True, description="The jars; Maven downloads what they need when it builds them")

    generator("ninja")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("fortran", type="build", when="+fortran")
    depends_on("cmake@3.25:", type="build")
    depends_on("nlohmann-json@3.11:", type="build")
    depends_on("mpi", when="+mpi")
    depends_on("gloo", when="+gloo")
    depends_on("yaml-cpp@0.7:", when="+yaml")
    depends_on("maven", type="build", when="+java")
    depends_on("java@17:", type=("build", "run"), when="+java")
    # Ray, deisa-ray and the analytics' packages come from PyPI: Spack has no deisa-ray.

    def cmake_args(self):
        return [
            self.define_from_variant("DEISA_BUILD_MPI", "mpi"),
            self.define_from_variant("DEISA_BUILD_GLOO", "gloo"),
            self.define_from_variant("DEISA_BUILD_YAML", "yaml"),
            self.define_from_variant("DEISA_BUILD_FORTRAN", "fortran"),
        ]

    @run_after("build", when="+java")
    def build_jars(self):
        """With the libraries inside; `cmake --install` takes them from the source tree."""
        libraries = join_path(self.build_directory, "lib")
        with working_dir(self.stage.source_path):
            options = ("-B", "-Dmaven.test.skip=true", f"-Ddeisa.native.dir={libraries}")
            which("mvn", required=True)(*options, "-pl", "java", "verify")

    def setup_run_environment(self, env):
        env.prepend_path("LD_LIBRARY_PATH", self.prefix.lib)
