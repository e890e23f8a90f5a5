# Targets: opencv (the default) has OpenCV's image decoders, slim has Go's. BuildKit, the classic builder of Docker,
# buildah and podman build it. The arguments, reproducible builds and arm64: docs/images.md.
ARG BUILD_IMAGE=golang:1.26-bookworm
# Licenses of the contents of the targets; the build fails if these are wrong.
ARG SLIM_LICENSES="(FTL OR GPL-2.0-or-later) AND Apache-2.0 AND BSD-2-Clause AND BSD-3-Clause AND CC-BY-4.0 AND ISC AND MIT AND MPL-2.0 AND OFL-1.1"
ARG OPENCV_LICENSES="(BSD-3-Clause OR GPL-2.0-only) AND (FTL OR GPL-2.0-or-later) AND (GPL-2.0-only OR GPL-3.0-only) AND (GPL-2.0-or-later OR LGPL-2.1-or-later OR MPL-1.1) AND (GPL-2.0-or-later OR LGPL-3.0-or-later) AND Apache-2.0 AND BSD-2-Clause AND BSD-3-Clause AND BSD-4-Clause AND CC-BY-4.0 AND CFITSIO AND FTL AND GPL-2.0-or-later AND GPL-3.0-or-later WITH GCC-exception-3.1 AND HPND-sell-variant AND IJG AND ISC AND LGPL-2.0-or-later AND LGPL-2.1-only AND LGPL-2.1-or-later AND LGPL-3.0-or-later AND LicenseRef-HDF4 AND LicenseRef-OGDI-LAS AND LicenseRef-attribution AND LicenseRef-public-domain AND MIT AND MIT-open-group AND MPL-2.0 AND OFL-1.1 AND OLDAP-2.8 AND PostgreSQL AND Qhull AND Zlib AND bzip2-1.0.6 AND curl AND libpng-2.0 AND libtiff"

# Runs on the platform of the builder, also for another platform: Go compiles for it.
# BuildKit sets BUILDPLATFORM.
FROM --platform=${BUILDPLATFORM:-linux/amd64} ${BUILD_IMAGE} AS build-slim
WORKDIR /src
COPY go.mod go.sum ./
COPY tools/go.mod tools/go.sum tools/
RUN go mod download && go -C tools mod download github.com/CycloneDX/cyclonedx-go github.com/google/licensecheck
COPY . .
# git cannot read the .git of a linked worktree or a shared clone, and go build would fail.
RUN git status >/dev/null 2>&1 || rm -rf .git
ARG TARGETOS
ARG TARGETARCH
ARG VERSION
RUN GOOS=${TARGETOS} GOARCH=${TARGETARCH} make slim
ARG SLIM_LICENSES
RUN make rootfs ROOTFS=/rootfs ROOTFSFLAGS="-licenses '${SLIM_LICENSES}'"

# Runs on the platform of the image: it needs the platform's C++ compiler and libraries.
FROM ${BUILD_IMAGE} AS build-opencv
WORKDIR /src
COPY Makefile ./
RUN make deps
COPY go.mod go.sum ./
COPY tools/go.mod tools/go.sum tools/
RUN go mod download && go -C tools mod download github.com/CycloneDX/cyclonedx-go github.com/google/licensecheck
COPY . .
RUN git status >/dev/null 2>&1 || rm -rf .git
ARG VERSION
RUN make build
ARG OPENCV_LICENSES
# The libraries become a layer of their own, which is the same in other versions.
RUN make rootfs ROOTFS=/rootfs ROOTFSFLAGS="-licenses '${OPENCV_LICENSES}'" && \
    mkdir -p /libraries/usr && mv /rootfs/usr/lib /libraries/usr && touch -d @0 /libraries/usr /rootfs/usr

# The interface of both images. The labels version, revision and created are given to the build, as it cannot compute labels.
FROM scratch AS image
ENV PATH=/usr/local/bin
LABEL org.opencontainers.image.title="proposer" \
      org.opencontainers.image.description="Selective-search region proposals from the shell and over HTTP" \
      org.opencontainers.image.source="https://github.com/proposer/proposer" \
      org.opencontainers.image.url="https://github.com/proposer/proposer" \
      org.opencontainers.image.documentation="https://github.com/proposer/proposer/blob/main/docs/operations.md"
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s CMD ["proposer", "health"]
ENTRYPOINT ["proposer"]
CMD ["serve"]

FROM image AS slim
ARG SLIM_LICENSES
LABEL org.opencontainers.image.licenses="${SLIM_LICENSES}"
COPY --from=build-slim /rootfs/ /

FROM image AS opencv
ARG OPENCV_LICENSES
LABEL org.opencontainers.image.licenses="${OPENCV_LICENSES}"
COPY --from=build-opencv /libraries/ /
COPY --from=build-opencv /rootfs/ /
