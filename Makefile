# On Debian with Go, git and make, `make serve` installs what is missing (a C++ compiler and three
# OpenCV libraries), builds the program and starts the service.

TAGS     := gocv_specific_modules,customenv
OPENCV   ?= /usr/include/opencv4
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 10s
IMAGE    ?= proposer
BENCH    ?= .
COUNT    ?= 1
URL      ?= http://127.0.0.1:8080
PACKAGES := g++ libopencv-core-dev libopencv-imgproc-dev libopencv-imgcodecs-dev
PEERS    := python3-opencv python3-skimage libdlib-dev
EXAMPLE  := python3-torch python3-torchvision python3-numpy python3-pil libopenblas0
E2E      := chromium prometheus python3 python3-scipy slurm-wlm munge $(EXAMPLE)
IMPORTS  := import ctypes, numpy, PIL, torch, torchvision; ctypes.CDLL("libopenblas.so.0")
PYTHON   := /usr/bin/python3

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

.PHONY: help serve build test e2e race fuzz bench bench-peers load example generate lint demo docker deps peers clean

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 13

serve: build ## build, then serve on PROPOSER_ADDR, :8080 unless set
	exec bin/proposer serve

build: deps ## bin/proposer
	$(GO) build -tags $(TAGS) -ldflags '-s -w -X main.linked=$(VERSION)' -o bin/proposer ./cmd/proposer

# Packages with concurrency, packages that decode images, packages that run vector kernels.
RACE_GO     := ./api ./internal/batch/... ./cmd/proposer ./internal/imageio ./internal/auth ./internal/freelist ./objectness ./internal/propose ./selective
IMAGES_GO := ./api ./internal/batch ./cmd/proposer ./internal/imageio ./internal/propose
KERNELS_GO  := ./box ./hierarchy ./internal/kernels ./objectness ./raster ./segment ./selective ./similarity

# Four builds: with OpenCV, with OpenCV's matrices counted (leaks), with Go's image decoders, without
# the vector kernels. The last two need no cgo but keep it on, so that they share the build cache.
test: deps ## all tests, with and without OpenCV
	$(GO) test -tags $(TAGS) ./...
	$(GO) test -tags $(TAGS),matprofile ./internal/imageio
	$(GO) test $(IMAGES_GO)
	$(GO) test -tags purego -short $(KERNELS_GO)
	$(GO) -C tools test -tags $(TAGS) ./...

e2e: build ## tests with a browser, Prometheus, Python, PyTorch, Slurm and the image's root: installs them when missing
	@command -v chromium >/dev/null && command -v promtool >/dev/null && command -v python3 >/dev/null && \
	$(PYTHON) -c 'import scipy.io; $(IMPORTS)' 2>/dev/null && \
	[ -x /usr/sbin/slurmctld ] && [ -x /usr/sbin/slurmd ] && [ -x /usr/sbin/munged ] || { \
	$(call install,E2E,NO_E2E); }
	PROPOSER_E2E=1 $(GO) test -tags $(TAGS) -count 1 ./api/web ./docker ./examples ./internal/codec ./internal/npy ./internal/rois

race: deps ## under the race detector, the tests of what has goroutines or is called by several
	$(GO) test -tags $(TAGS) -race -short $(RACE_GO)
	$(GO) -C tools test -tags $(TAGS) -race -short ./loadtest

fuzz: deps ## each fuzz target for FUZZTIME (10s, or a count: 1000x)
	@grep -rHo '^func Fuzz[A-Za-z0-9_]*' --include='*_test.go' . | sort | sed 's/[^/]*:func / /' | \
	while read -r dir target; do \
		echo "$$dir $$target"; \
		$(GO) test -tags $(TAGS) -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$dir" </dev/null || exit 1; \
	done

bench: deps ## benchmarks that match BENCH (.), COUNT times (1); benchstat reads them
	@$(GO) test -tags $(TAGS) -run '^$$' -bench '$(BENCH)' -count $(COUNT) -benchmem ./...

# Without a folder scenes are drawn. BENCHFLAGS: `bin/compare-peers -help` lists them.
bench-peers: peers bin/peer_dlib ## docs/benchmarks.md: ours beside its peers, on the folder PICTURES
	$(PUREGO) -C tools build -o ../bin/compare-peers ./compare-peers
	bin/compare-peers -pictures '$(PICTURES)' -version $(VERSION) -out docs/benchmarks.md \
		-opencv '$(PYTHON) tools/compare-peers/peer_opencv.py' -dlib bin/peer_dlib $(BENCHFLAGS)

bin/peer_dlib: tools/compare-peers/peer_dlib.cpp | peers
	@mkdir -p bin
	g++ -O3 -march=native -DNDEBUG $< -o $@ -I$(OPENCV) -lopencv_imgcodecs -lopencv_core -ldlib

# For a service that runs already. LOADFLAGS: `bin/loadtest -help` lists them.
load: ## put the service at URL (http://127.0.0.1:8080) under load, hostile requests among it, and judge its answers
	$(PUREGO) -C tools build -o ../bin/loadtest ./loadtest
	bin/loadtest -url '$(URL)' -pictures '$(PICTURES)' $(LOADFLAGS)

# OpenBLAS is there because PyTorch multiplies five times slower with what Debian gives it otherwise.
# EXAMPLEFLAGS: `--quick` sees only that it works; `--help` lists them.
example: build ## train a two-stage detector on our proposals, under several losses: examples/two-stage
	@$(PYTHON) -c '$(IMPORTS)' 2>/dev/null || { \
	$(call install,EXAMPLE,NO_EXAMPLE); }
	$(PUREGO) build -o bin/dataset ./examples/two-stage/dataset
	rm -rf bin/two-stage
	$(PYTHON) examples/two-stage/two_stage.py $(EXAMPLEFLAGS)

generate: ## the vector kernels, by the program in internal/kernels/gen
	go -C internal/kernels/gen generate

# Only imageio has files that are built without OpenCV alone, only internal/kernels has twins of its kernels.
lint: deps ## gofumpt, go vet and staticcheck, with and without OpenCV; are the kernels up to date?
	@files=$$($(TOOL) gofumpt -l .); [ -z "$$files" ] || { echo "gofumpt would change:"; echo "$$files"; exit 1; }
	@copy=$$(mktemp -d) && trap 'rm -rf "$$copy"' EXIT && cp -r internal/kernels "$$copy" && \
	go -C "$$copy/kernels/gen" generate && diff -r internal/kernels "$$copy/kernels"
	$(GO) vet -tags $(TAGS) ./...
	$(GO) vet ./internal/imageio
	$(GO) vet -tags purego ./internal/kernels
	$(PUREGO) -C tools vet ./...
	CGO_ENABLED=1 $(TOOL) staticcheck -tags $(TAGS) ./...
	CGO_ENABLED=1 $(TOOL) staticcheck ./internal/imageio
	CGO_ENABLED=1 $(TOOL) staticcheck -tags purego ./internal/kernels

demo: build ## bin/scene.png and, with the best boxes drawn, bin/boxes.png
	$(PUREGO) -C tools run ./draw-scene -seed 6 -out ../bin/scene.png
	bin/proposer propose --max 20 --nms 0.5 --order hierarchy --min-side 60 --overlay bin/boxes.png bin/scene.png

docker: ## the container image IMAGE (proposer)
	docker build --build-arg VERSION=$(VERSION) -t $(IMAGE) .

clean: ## remove bin/
	rm -rf bin

# The end of a recipe that installs packages with apt-get; where that is not to be had, a line
# says what to do. $(1) and $(2) name the variables with the packages and the line.
define install
command -v apt-get >/dev/null || { printf "%s\n" $($(2)) >&2; exit 1; }; \
root=; [ "$$(id -u)" = 0 ] || root=sudo; \
[ -z "$$root" ] || command -v sudo >/dev/null || { echo "As root: apt-get install $($(1))" >&2; exit 1; }; \
echo "Installing $($(1))"; \
$$root apt-get update -qq && \
$$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $($(1)) >/dev/null
endef

NO_PACKAGES := "Install a C++ compiler and OpenCV 4 (core, imgproc, imgcodecs) and give make OPENCV=<folder of its headers>," \
	"or do without OpenCV: CGO_ENABLED=0 go build -o bin/proposer ./cmd/proposer"
NO_E2E := "Install Chromium, Prometheus with promtool, Slurm, MUNGE, OpenBLAS, and Python 3 with NumPy, SciPy, Pillow, PyTorch and torchvision for $(PYTHON)"
NO_EXAMPLE := "Install PyTorch, torchvision, NumPy and Pillow for $(PYTHON), and OpenBLAS"
NO_PEERS := "Install OpenCV with ximgproc and scikit-image for $(PYTHON), and dlib with its headers"

deps:
	@command -v go >/dev/null || { echo "Go 1.26 or newer is needed" >&2; exit 1; }
	@command -v g++ >/dev/null && \
	[ -e $(OPENCV)/opencv2/imgproc.hpp ] && [ -e $(OPENCV)/opencv2/imgcodecs.hpp ] && exit 0; \
	$(call install,PACKAGES,NO_PACKAGES)

peers: deps
	@$(PYTHON) -c 'import cv2.ximgproc, skimage.segmentation' 2>/dev/null && \
	[ -e /usr/include/dlib/revision.h ] && exit 0; \
	$(call install,PEERS,NO_PEERS)
