# For graders: the course with its hidden suites and the locked grader. Keep the image to yourselves; docs/containers.md.
FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends libseccomp2 && rm -rf /var/lib/apt/lists/*
WORKDIR /course
# The versions first: they change seldom, and the layer is large.
COPY install.py pyproject.toml constraints.txt README.md LICENSE ./
COPY autograder autograder
COPY projects projects
RUN TORCH_INDEX=cpu PIP_NO_CACHE_DIR=1 python install.py --here --extra dask
COPY course.toml ./
COPY solutions solutions
COPY exercises exercises
COPY tests/visible tests/visible
COPY tests/hidden tests/hidden
COPY tests/mistakes tests/mistakes
COPY tests/standins tests/standins
COPY tests/support tests/support
RUN useradd --create-home grader && mkdir /results && chown grader /results
USER grader
ENTRYPOINT ["python", "-P", "-m", "autograder"]
CMD ["--help"]
