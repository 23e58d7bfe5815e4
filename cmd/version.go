package cmd

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints the version.
func (c *versionCmd) Run(a *app) error {
	v := buildVersion()
	if c.JSON {
		return printJSON(a.out, v)
	}
	_, err := fmt.Fprintln(a.out, v)
	return err
}

type versionInfo struct {
	Version  string `json:"version"`            // a release, or devel
	Revision string `json:"revision,omitempty"` // of the source
	Modified bool   `json:"modified,omitempty"` // with changes that the revision lacks
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// release is the version of a release that is not built by its module's version:
//
//	go build -ldflags "-X peer/cmd.release=v1.2.3"
var release string

// Version is the version of this program, as nodes tell it each other.
func Version() string { return buildVersion().Version }

func buildVersion() versionInfo {
	v := versionInfo{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if main := info.Main.Version; main != "" && main != "(devel)" {
		v.Version = main
	}
	if release != "" {
		v.Version = release
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func (v versionInfo) String() string {
	s := "peer " + v.Version
	if v.Revision != "" {
		s += " " + v.Revision[:min(12, len(v.Revision))]
		if v.Modified {
			s += "+changes"
		}
	}
	return s + " " + v.Go + " " + v.Platform
}
