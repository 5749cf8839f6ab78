package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/schema"
)

// version is set by the linker in a release; else the module's version is shown.
var version string

type versionInfo struct {
	Version string `json:"version"`
	// Schema is the database schema version that this binary needs.
	Schema int64  `json:"schema"`
	Go     string `json:"go"`
}

// newVersionCmd is `relaystore version`.
func newVersionCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print the version and the schema version it needs",
		Example: "  relaystore version\n  relaystore version --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			known := schema.Versions()
			v := versionInfo{moduleVersion(), known[len(known)-1], runtime.Version()}
			if asJSON {
				return printJSON(c.OutOrStdout(), v)
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "relaystore %s, schema %d, %s\n", v.Version, v.Schema, v.Go)
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func moduleVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
