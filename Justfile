# Each recipe is one plain command, so it works without just as well.

# Build the static binary.
build:
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o peer .

# The archives of a release, in dist/: just release v1.2.3
release *VERSION:
    deploy/release.sh {{VERSION}}

# A network of three nodes on this machine.
dev *ARGS:
    go run . dev {{ARGS}}

# Everything that must be true before a commit, as CI runs it.
ci:
    bash .ci/run

# The tests of all packages, with the race detector.
test *ARGS:
    go test -race {{ARGS}} ./...

# All scenarios in containers, with faults that only a network has: just itest RUN=TestPartition
itest RUN=".":
    go -C itest test -v -count 1 -artifacts -timeout 30m -run '{{ trim_start_match(RUN, "RUN=") }}' ./container

# The same network under random faults and pushes, until it is interrupted; then a summary.
soak *ARGS:
    go -C itest test -v -count 1 -artifacts -timeout 0 -run 'TestSoak$' ./container -soak {{ARGS}}

# The tests that drive real processes: crashes, real histories, the README.
processes *ARGS:
    go -C itest test -timeout 30m {{ARGS}} . ./internal/... ./conform

# The seeded simulation of the group: SEEDS=1000000 for a night.
simulate SEEDS="2000":
    go test ./replica -run Simulation -seeds {{SEEDS}} -timeout 0

# Format, vet and the import rules.
lint:
    golangci-lint run ./...

# The table of ratios against real git.
bench *ARGS:
    go run ./bench {{ARGS}}

# The code made from the protocol definitions.
generate:
    go generate ./...
