package itest

import (
	"os"
	"testing"

	"peer/itest/internal/binary"
)

func TestMain(m *testing.M) {
	code := m.Run()
	binary.Remove()
	os.Exit(code)
}
