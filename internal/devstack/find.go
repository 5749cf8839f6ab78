package devstack

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// programs are the paths of what is run; those of a skipped server are "".
type programs struct {
	initdb, postgres, redis string
}

// postgresDirs are where packages put PostgreSQL if not in PATH: Debian, the
// PostgreSQL project's packages for Red Hat, Homebrew.
var postgresDirs = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
}

var redisDirs = []string{
	"/usr/local/bin",
	"/opt/homebrew/bin",
	"/home/linuxbrew/.linuxbrew/bin",
}

// findPrograms reports everything that is missing in one [*MissingError].
func findPrograms(ctx context.Context, o Options, a account) (programs, error) {
	var found programs
	var missing []string
	if !o.SkipPostgres {
		bin := findDir(a, postgresDirs, "initdb", "postgres")
		switch {
		case bin == "":
			missing = append(missing, "initdb")
		case !hasStatements(ctx, bin):
			missing = append(missing, "pg_stat_statements")
		}
		found.initdb, found.postgres = filepath.Join(bin, "initdb"), filepath.Join(bin, "postgres")
	}
	if !o.SkipRedis {
		bin := findDir(a, redisDirs, "redis-server")
		if bin == "" {
			missing = append(missing, "redis-server")
		}
		found.redis = filepath.Join(bin, "redis-server")
	}
	if len(missing) > 0 {
		return programs{}, &MissingError{Programs: missing}
	}
	return found, nil
}

// findDir returns the first folder, of those in PATH and then of the newest
// version that the patterns give, with all the programs in it; "" if none.
func findDir(a account, patterns []string, names ...string) string {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	for _, pattern := range patterns {
		dirs = append(dirs, newestFirst(pattern)...)
	}
	for _, dir := range dirs {
		for _, dir := range []string{resolve(dir, names[0]), dir} {
			if filepath.IsAbs(dir) && hasAll(dir, names) && a.reaches(dir) {
				return dir
			}
		}
	}
	return ""
}

// resolve follows a link to a program: pg_config is beside its target.
func resolve(dir, name string) string {
	path, err := filepath.EvalSymlinks(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return filepath.Dir(path)
}

func hasAll(dir string, names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		_, err := exec.LookPath(filepath.Join(dir, name))
		return err != nil
	})
}

var version = regexp.MustCompile(`(\d+)[^/\d]*/bin$`)

// newestFirst sorts by the number in the last folder but one: 9 is older than 15.
func newestFirst(pattern string) []string {
	dirs, _ := filepath.Glob(pattern) // fails on a malformed pattern only
	slices.SortStableFunc(dirs, func(a, b string) int { return cmp.Compare(versionOf(b), versionOf(a)) })
	return dirs
}

func versionOf(dir string) int {
	match := version.FindStringSubmatch(dir)
	if match == nil {
		return 0
	}
	n, _ := strconv.Atoi(match[1]) // digits, and 0 is fine for absurdly many
	return n
}

// hasStatements tells whether pg_stat_statements, which some packagers ship
// apart, is there. Without pg_config it is for the server to find out.
func hasStatements(ctx context.Context, bin string) bool {
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "pg_config"), "--sharedir").Output()
	if err != nil {
		return true
	}
	_, err = os.Stat(filepath.Join(strings.TrimSpace(string(out)), "extension", "pg_stat_statements.control"))
	return err == nil
}
