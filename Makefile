# On Debian with Go, git and make, `make serve` installs what is missing (a C++ compiler and three
# OpenCV libraries), builds the program and starts the service.

TAGS     := gocv_specific_modules,customenv
OPENCV   ?= /usr/include/opencv4
FUZZTIME ?= 10s
IMAGE    ?= proposer
ROOTFS   ?= bin/rootfs
BENCH    ?= .
COUNT    ?= 1
URL      ?= http://127.0.0.1:8080
PACKAGES := g++ libopencv-core-dev libopencv-imgproc-dev libopencv-imgcodecs-dev
PEERS    := python3-opencv python3-skimage libdlib-dev
EXAMPLE  := python3-torch python3-torchvision python3-numpy python3-pil libopenblas0
E2E      := chromium prometheus python3 python3-scipy python3-grpcio python3-protobuf slurm-wlm munge $(EXAMPLE)
ETCD     := etcd-server
PODMAN   := buildah containernetworking-plugins debootstrap iptables podman qemu-user runc
PYDEPS   := gcc libc6-dev git python3
PYTESTS  := python3-numpy python3-pil python3-opencv python3-skimage python3-torch python3-torchvision python3-matplotlib \
	python3-tqdm python3-pytest python3-venv mypy flake8
PYARM64  := gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user python3-pip
PYRELEASE := gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-mingw-w64-x86-64-win32 $(PYTESTS)
IMPORTS  := import ctypes, numpy, PIL, torch, torchvision; ctypes.CDLL("libopenblas.so.0")
PYTHON   := /usr/bin/python3
NPM      := tools/clients/npm

# Without git the version is devel, as Go's is. An empty VERSION is the same as none.
ifeq ($(VERSION),)
override VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
endif

# Only these three OpenCV libraries are linked and only their headers are installed. Defining its
# include guard turns off the header that includes every module.
HEADERS := -DOPENCV_ALL_HPP -include opencv2/core.hpp -include opencv2/imgproc.hpp -include opencv2/imgcodecs.hpp
export CGO_CXXFLAGS := -O2 -std=c++11 -DNDEBUG -I$(OPENCV) $(HEADERS)
export CGO_LDFLAGS  := -lopencv_imgcodecs -lopencv_imgproc -lopencv_core

# One value for all targets, so that they share the build cache.
export GOFLAGS := -trimpath

GO     := CGO_ENABLED=1 go
PUREGO := CGO_ENABLED=0 go
TOOL   := go tool -modfile=.ci/go.mod
LINT   := CGO_ENABLED=1 $(TOOL) golangci-lint run

.PHONY: help serve build slim rootfs test e2e e2e-image e2e-kubernetes e2e-prometheus race fuzz bench bench-peers bench-python load example \
	generate lint vulncheck demo docker release deps peers clean lib wheel sdist python-test python-test-arm64 python-deps

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 13

serve: build ## build and start the service on PROPOSER_ADDR (:8080)
	exec bin/proposer serve

build: deps ## build bin/proposer with OpenCV
	$(GO) build -tags $(TAGS) -ldflags '-s -w -X main.linked=$(VERSION)' -o bin/proposer ./cmd/proposer

# For the platform of GOOS and GOARCH.
slim: ## build bin/proposer with Go's image decoders
	$(PUREGO) build -ldflags '-s -w -X main.linked=$(VERSION)' -o bin/proposer ./cmd/proposer

# ROOTFSFLAGS: see the flags in tools/rootfs.
rootfs: ## collect in ROOTFS (bin/rootfs) what the container image consists of: bin/proposer, libraries, licenses
	rm -rf '$(ROOTFS)'
	$(PUREGO) -C tools run ./rootfs -program ../bin/proposer -source .. -root '$(abspath $(ROOTFS))' -version '$(VERSION)' $(ROOTFSFLAGS)

# Packages with concurrency, packages that decode images, packages that run vector kernels.
RACE_GO    := ./api ./cmd/proposer ./evaluate ./internal/auth ./internal/batch/... ./internal/freelist ./internal/imageio \
	./internal/overlap ./internal/parallel ./internal/propose ./objectness/... ./segment/felzenszwalb ./selective
IMAGES_GO  := ./api ./internal/batch ./cmd/proposer ./internal/imageio ./internal/propose
KERNELS_GO := ./box ./hierarchy ./internal/kernels ./internal/overlap ./objectness/... ./raster ./segment ./selective ./similarity

# Four builds: with OpenCV, with OpenCV's matrices counted (leaks), with Go's image decoders, without
# the vector kernels. The last two need no cgo but keep it on, so that they share the build cache.
test: deps ## run all tests, with and without OpenCV
	@[ -d "$${PROPOSER_TESTDATA:-../shared/data}" ] || echo 'Skipping tests on photographs: PROPOSER_TESTDATA does not name their folder (CONTRIBUTING.md)'
	@[ "$$PROPOSER_E2E" = 1 ] || echo 'Skipping end-to-end tests: make e2e runs them'
	$(GO) test -tags $(TAGS) ./...
	$(GO) test -tags $(TAGS),matprofile ./internal/imageio
	$(GO) test $(IMAGES_GO)
	$(GO) test -tags purego -short $(KERNELS_GO)
	$(GO) -C tools test -tags $(TAGS) ./...
	$(PUREGO) -C tools/chart test ./...

e2e: build ## run the end-to-end tests (browser, Prometheus, Python, PyTorch, Slurm, container root, generated clients); install what is missing
	@command -v chromium >/dev/null && command -v promtool >/dev/null && command -v python3 >/dev/null && \
	$(PYTHON) -c 'import scipy.io, grpc, google.protobuf; $(IMPORTS)' 2>/dev/null && \
	[ -x /usr/sbin/slurmctld ] && [ -x /usr/sbin/slurmd ] && [ -x /usr/sbin/munged ] || { \
	$(call install,E2E,NO_E2E); }
	PROPOSER_E2E=1 $(GO) test -tags $(TAGS) -count 1 -skip '^TestImage$$' ./api/web ./docker ./examples ./internal/codec ./internal/npy ./internal/rois
	@[ $(NPM)/node_modules/.package-lock.json -nt $(NPM)/package-lock.json ] || npm ci --silent --ignore-scripts --prefix $(NPM) || \
	echo 'Skipping tests with npm packages: npm cannot install them'
	PROPOSER_E2E=1 $(GO) -C tools test -tags $(TAGS) -count 1 ./clients
	PROPOSER_E2E=1 $(GO) test -tags $(TAGS) -count 1 -run 'ConsumersLoad|PythonWrites|COCOeval|GRPCPython' ./api ./cmd/proposer ./internal/proposalfile ./evaluate
	PROPOSER_E2E=1 $(GO) test -tags $(TAGS) -count 1 -run Pillow ./internal/imageio
	PROPOSER_E2E=1 $(GO) test -count 1 -run Pillow ./internal/imageio

# With -v: where containers cannot run, the test is skipped and says why. PROPOSER_IMAGE_AGAIN=1 adds two builds, one
# of them without a build cache, which must give the same digest.
e2e-image: build ## build both container images with buildah and run them with podman; install what is missing
	@for tool in buildah debootstrap iptables podman qemu-aarch64 runc /usr/lib/cni/portmap; do command -v $$tool >/dev/null || { \
	$(call install,PODMAN,NO_PODMAN); }; done
	PROPOSER_E2E=1 $(GO) test -tags $(TAGS) -count 1 -timeout 20m -v -run '^TestImage$$' ./docker

# The programs of Kubernetes are compiled the first time, which takes minutes. The linter is here and not in
# lint because it compiles their libraries as well.
e2e-kubernetes: ## apply the manifests and the chart to a Kubernetes control plane; install what is missing
	@command -v etcd >/dev/null || { $(call install,ETCD,NO_ETCD); }
	$(PUREGO) -C tools/controlplane build -o ../../bin/controlplane/ \
		-ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$$(go -C tools/controlplane list -m -f '{{.Version}}' k8s.io/kubernetes)" tool
	$(PUREGO) -C tools/chart build -o ../../bin/controlplane/ -ldflags '-s -w' helm.sh/helm/v3/cmd/helm
	cd tools/controlplane && CGO_ENABLED=0 go tool -modfile=../../.ci/go.mod golangci-lint run ./...
	$(PUREGO) -C tools/controlplane test -count 1 ./...

# Without service discovery other than by files, which halves the time to compile.
PROMETHEUS3 := github.com/prometheus/prometheus
e2e-prometheus: build ## run the end-to-end tests of Prometheus with version 3, which takes minutes to compile
	v=$$(go -C .ci/prometheus list -m -f '{{.Version}}' $(PROMETHEUS3)) && \
	$(PUREGO) -C .ci/prometheus build -tags remove_all_sd -ldflags "-X github.com/prometheus/common/version.Version=3.$$(expr $$v : 'v0.3\([0-9]*\.[0-9]*\)')" \
		-o ../../bin/prometheus3/ $(PROMETHEUS3)/cmd/prometheus $(PROMETHEUS3)/cmd/promtool
	PATH="$$PWD/bin/prometheus3:$$PATH" PROPOSER_E2E=1 $(GO) test -tags $(TAGS) -count 1 -run 'TestPrometheus|TestPromtool' ./docker

race: deps ## run the tests of concurrent packages with the race detector
	$(GO) test -tags $(TAGS) -race -short $(RACE_GO)
	$(GO) -C tools test -tags $(TAGS) -race -short ./loadtest

fuzz: deps ## run each fuzz target for FUZZTIME (10s; a count such as 1000x)
	@grep -rHo '^func Fuzz[A-Za-z0-9_]*' --include='*_test.go' . | sort | sed 's/[^/]*:func / /' | \
	while read -r dir target; do \
		echo "$$dir $$target"; \
		$(GO) test -tags $(TAGS) -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$dir" </dev/null || exit 1; \
	done

bench: deps ## run the benchmarks that match BENCH (.), COUNT times (1); for benchstat
	@$(GO) test -tags $(TAGS) -run '^$$' -bench '$(BENCH)' -count $(COUNT) -benchmem ./...

# IMAGES: a folder of images; without it, scenes are rendered. BENCHFLAGS: see bin/compare-peers -help.
bench-peers: peers bin/peer_dlib ## compare with OpenCV, dlib and scikit-image on the folder IMAGES; write docs/benchmarks.md
	$(PUREGO) -C tools build -o ../bin/compare-peers ./compare-peers
	bin/compare-peers -images '$(IMAGES)' -version $(VERSION) -out docs/benchmarks.md \
		-opencv '$(PYTHON) tools/compare-peers/peer_opencv.py' -dlib bin/peer_dlib $(BENCHFLAGS)

bench-python: lib ## compare the Python package with OpenCV and scikit-image on the folder IMAGES; write docs/migrating.md
	@$(PYTHON) -c 'import cv2.ximgproc, skimage.segmentation' 2>/dev/null || { $(call install,PEERS,NO_PEERS); }
	PYTHONPATH=python $(PYTHON) python/benchmarks/compare.py --update docs/migrating.md $(BENCHFLAGS) '$(IMAGES)'

bin/peer_dlib: tools/compare-peers/peer_dlib.cpp | peers
	@mkdir -p bin
	g++ -O3 -march=native -DNDEBUG $< -o $@ -I$(OPENCV) -lopencv_imgcodecs -lopencv_core -ldlib

# LOADFLAGS: see bin/loadtest -help.
load: ## load-test the running service at URL (http://127.0.0.1:8080), hostile requests included
	$(PUREGO) -C tools build -o ../bin/loadtest ./loadtest
	bin/loadtest -url '$(URL)' -images '$(IMAGES)' $(LOADFLAGS)

# The library and the command without OpenCV: the flags above are not for them.
lib wheel sdist python-test python-test-arm64: export CGO_CXXFLAGS :=
lib wheel sdist python-test python-test-arm64: export CGO_LDFLAGS :=
lib wheel sdist python-test python-test-arm64: export PROPOSER_VERSION := $(VERSION)
BACKEND := $(PYTHON) python/backend/proposer_build.py

lib: python-deps ## build the C library into python/proposer, for PYTHONPATH=python
	$(BACKEND) lib

# GOOS, GOARCH and CC choose another platform.
wheel: python-deps ## build the Python package's wheel into dist/
	$(BACKEND) wheel dist

sdist: python-deps ## build the Python package's source archive into dist/
	$(BACKEND) sdist dist

# The wheel that is built from the sdist, in another folder, has the same bytes.
# -I: the installed package, not the sources in the current folder. NumPy and the others are Debian's.
python-test: python-deps ## test the wheel in a fresh virtual environment; install what is missing
	@$(PYTHON) -c 'import numpy, PIL, cv2.ximgproc, skimage, torch, torchvision, matplotlib, tqdm, pytest, ensurepip' 2>/dev/null && \
	command -v mypy >/dev/null && command -v flake8 >/dev/null || { \
	$(call install,PYTESTS,NO_PYTESTS); }
	rm -rf bin/wheel bin/sdist bin/venv
	$(BACKEND) wheel bin/wheel
	$(PYTHON) -m venv --system-site-packages bin/venv
	bin/venv/bin/python -I -m pip install --quiet --no-index --disable-pip-version-check bin/wheel/*.whl
	$(BACKEND) sdist bin/sdist
	env -u PROPOSER_VERSION bin/venv/bin/python -I -m pip wheel --quiet --no-index --disable-pip-version-check --no-deps \
		-w bin/sdist bin/sdist/*.tar.gz
	cmp bin/wheel/*.whl bin/sdist/*.whl
	flake8 --max-line-length 120 --extend-ignore E203,W503 python
	cd python && MYPYPATH=backend mypy proposer backend
	timeout 20m bin/venv/bin/python -I -m pytest -q -c python/pyproject.toml -o faulthandler_timeout=300 python/tests
	bin/venv/bin/python -I -m pytest -q -c python/pyproject.toml --doctest-modules --pyargs proposer

python-test-arm64: python-deps ## build the wheel for arm64 and compare its results, under qemu
	@command -v aarch64-linux-gnu-gcc >/dev/null && [ -e /usr/aarch64-linux-gnu/include/stdlib.h ] && command -v qemu-aarch64 >/dev/null && \
	$(PYTHON) -m pip --version >/dev/null 2>&1 || { \
	$(call install,PYARM64,NO_PYARM64); }
	PYTHON=$(PYTHON) .ci/python-arm64

# PyTorch is five times faster with OpenBLAS than with Debian's default BLAS.
# EXAMPLEFLAGS: --quick only checks that it works; see --help.
example: build ## train a two-stage detector on proposals under several losses (examples/two-stage)
	@$(PYTHON) -c '$(IMPORTS)' 2>/dev/null || { \
	$(call install,EXAMPLE,NO_EXAMPLE); }
	$(PUREGO) build -o bin/dataset ./examples/two-stage/dataset
	rm -rf bin/two-stage
	$(PYTHON) examples/two-stage/two_stage.py $(EXAMPLEFLAGS)

generate: ## generate the vector kernels, and the gRPC client that tests use
	go -C internal/kernels/gen generate
	go -C internal/testutil/inferencepb/gen generate

# The second and third run of the linter are for files that the first build leaves out. Generated files are
# generated into a copy and compared.
lint: deps ## run gofumpt and golangci-lint on all builds; check that generated files are up to date
	@files=$$($(TOOL) gofumpt -l .); [ -z "$$files" ] || { echo "gofumpt would change:"; echo "$$files"; exit 1; }
	@copy=$$(mktemp -d) && trap 'rm -rf "$$copy"' EXIT && cp -r internal/kernels "$$copy" && \
	go -C "$$copy/kernels/gen" generate && diff -r internal/kernels "$$copy/kernels" && \
	cp -r internal/testutil/inferencepb "$$copy" && \
	go -C internal/testutil/inferencepb/gen run . "$$PWD/api/openinference" "$$copy/inferencepb" && \
	diff -r internal/testutil/inferencepb "$$copy/inferencepb"
	$(LINT) --build-tags $(TAGS) ./...
	$(LINT) ./internal/imageio
	$(LINT) --build-tags purego ./internal/kernels
	cd tools && CGO_ENABLED=0 go tool -modfile=../.ci/go.mod golangci-lint run ./...
	cd tools/chart && CGO_ENABLED=0 go tool -modfile=../../.ci/go.mod golangci-lint run ./...

vulncheck: ## look for known vulnerabilities in the dependencies; needs access to vuln.go.dev
	@curl -fsS -o /dev/null --max-time 20 https://vuln.go.dev/index/db.json || { \
	echo "The vulnerability database cannot be reached: not checked" >&2; exit 3; }
	$(PUREGO) tool -modfile=.ci/release/go.mod govulncheck ./...
	$(PUREGO) -C tools tool -modfile=../.ci/release/go.mod govulncheck ./...
	$(PUREGO) -C tools/chart tool -modfile=../../.ci/release/go.mod govulncheck ./...

demo: build ## render bin/scene.png and draw its best boxes in bin/boxes.png
	$(PUREGO) -C tools run ./draw-scene -seed 6 -out ../bin/scene.png
	bin/proposer propose --max 20 --nms 0.5 --order hierarchy --min-side 60 --overlay bin/boxes.png bin/scene.png

# Arguments that a build cannot derive itself. All times are the commit's, so that the same commit gives the same image.
CONTAINER_TOOL ?= $(firstword $(foreach tool,docker podman buildah,$(if $(shell command -v $(tool)),$(tool))) docker)
EPOCH  = $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
LABELS = version=$(VERSION) $(shell TZ=UTC0 git log -1 --date=format-local:%FT%TZ --format='revision=%H created=%cd' 2>/dev/null)
# The default format of buildah and podman has no HEALTHCHECK.
BUILDAHFLAGS = --layers --format docker --timestamp $(EPOCH) --build-arg BUILDPLATFORM=linux/$(shell go env GOHOSTARCH)

# $(1) is the target, $(2) the tags.
image = $(CONTAINER_TOOL) build --target $(1) --build-arg VERSION=$(VERSION) $(LABELS:%=--label org.opencontainers.image.%) \
	$(if $(filter docker,$(notdir $(CONTAINER_TOOL))),--build-arg SOURCE_DATE_EPOCH=$(EPOCH),$(BUILDAHFLAGS)) \
	$(DOCKERFLAGS) $(2:%=-t $(IMAGE):%) .

# DOCKERFLAGS are further flags, such as --build-arg BUILD_IMAGE=golang@sha256:...
docker: ## build the images IMAGE (proposer) with OpenCV and IMAGE:latest-slim without, with CONTAINER_TOOL (docker, podman or buildah)
	$(call image,opencv,latest $(VERSION))
	$(call image,slim,latest-slim $(VERSION)-slim)

release: python-deps ## build archives, wheels, SBOMs and checksums of VERSION into dist/
	@for tool in aarch64-linux-gnu-gcc x86_64-w64-mingw32-gcc; do command -v $$tool >/dev/null || { \
	$(call install,PYRELEASE,NO_PYRELEASE); }; done
	.ci/release/release $(VERSION)

clean: ## remove bin/, dist/ and the C library
	rm -rf bin dist python/proposer/libproposer.*

# install ends a recipe: it installs packages with apt-get or, without apt-get, prints instructions and
# fails. $(1) and $(2) name the variables with the packages and the instructions.
define install
command -v apt-get >/dev/null || { printf "%s\n" $($(2)) >&2; exit 1; }; \
root=; [ "$$(id -u)" = 0 ] || root=sudo; \
[ -z "$$root" ] || command -v sudo >/dev/null || { echo "As root: apt-get install $($(1))" >&2; exit 1; }; \
echo "Installing $($(1))"; \
$$root apt-get update -qq && \
$$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $($(1)) >/dev/null
endef

NO_PACKAGES := "Install a C++ compiler and OpenCV 4 (core, imgproc, imgcodecs) and run make OPENCV=<folder of its headers>," \
	"or build without OpenCV: CGO_ENABLED=0 go build -o bin/proposer ./cmd/proposer"
NO_E2E := "Install Chromium, Prometheus with promtool, Slurm, MUNGE, OpenBLAS, and Python 3 with NumPy, SciPy, Pillow, grpcio, protobuf, PyTorch and torchvision for $(PYTHON)"
NO_ETCD := "Install etcd 3.4 or newer"
NO_PODMAN := "Use Debian: the images are built from its packages"
NO_EXAMPLE := "Install PyTorch, torchvision, NumPy and Pillow for $(PYTHON), and OpenBLAS"
NO_PYDEPS := "Install a C compiler, git and Python 3.9 or newer as $(PYTHON)"
NO_PYTESTS := "Install NumPy, Pillow, OpenCV with ximgproc, scikit-image, PyTorch, torchvision, Matplotlib, tqdm and pytest for" \
	"$(PYTHON), and mypy and flake8"
NO_PYARM64 := "Use Debian: the target needs its packages of Python and NumPy for arm64"
NO_PYRELEASE := "Install C compilers for arm64 Linux and for Windows (MinGW-w64)"
NO_PEERS := "Install OpenCV with ximgproc and scikit-image for $(PYTHON), and dlib with its headers"

deps:
	@command -v go >/dev/null || { echo "Install Go 1.26 or newer" >&2; exit 1; }
	@command -v g++ >/dev/null && \
	[ -e $(OPENCV)/opencv2/imgproc.hpp ] && [ -e $(OPENCV)/opencv2/imgcodecs.hpp ] && exit 0; \
	$(call install,PACKAGES,NO_PACKAGES)

peers: deps
	@$(PYTHON) -c 'import cv2.ximgproc, skimage.segmentation' 2>/dev/null && \
	[ -e /usr/include/dlib/revision.h ] && exit 0; \
	$(call install,PEERS,NO_PEERS)

python-deps:
	@command -v go >/dev/null || { echo "Install Go 1.26 or newer" >&2; exit 1; }
	@command -v gcc >/dev/null && command -v git >/dev/null && [ -x $(PYTHON) ] && [ -e /usr/include/stdlib.h ] && exit 0; \
	$(call install,PYDEPS,NO_PYDEPS)
