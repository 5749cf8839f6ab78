package devstack

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

const socketFile = ".s.PGSQL.5432"

// maxSocketPath is what the kernel takes, less the closing zero byte: 107
// bytes on Linux, 103 on macOS.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// newFolderName gives the path of a folder that does not exist yet, in the
// first temporary folder that suits: TMPDIR, /tmp, /var/tmp.
func newFolderName(a account) (string, error) {
	suffix, err := randomHex(8)
	if err != nil {
		return "", err
	}
	bases := []string{os.TempDir(), "/tmp", "/var/tmp"}
	i := slices.IndexFunc(bases, func(base string) bool { return suits(base, suffix, a) })
	if i < 0 {
		return "", fmt.Errorf("devstack: none of %q can hold the servers' folder", bases)
	}
	return folderIn(bases[i], suffix)
}

func suits(base, suffix string, a account) bool {
	dir, err := folderIn(base, suffix)
	if err != nil || len(filepath.Join(socketDir(dir), socketFile)) > maxSocketPath {
		return false
	}
	base = filepath.Dir(dir)
	_, err = os.Lstat(dir)
	return os.IsNotExist(err) && unix.Access(base, unix.W_OK|unix.X_OK) == nil && a.reaches(base)
}

// folderIn resolves symlinks, for the permissions that count are the target's.
func folderIn(base, suffix string) (string, error) {
	base, err := filepath.Abs(base)
	if err != nil {
		return "", err
	}
	base, err = filepath.EvalSymlinks(base)
	return filepath.Join(base, "relaystore-"+suffix), err
}

// makeFolder creates dir with the folders of the servers in it, all of them
// for the account alone.
func makeFolder(dir string, a account) error {
	for _, path := range []string{dir, socketDir(dir), redisDir(dir)} {
		if err := os.Mkdir(path, 0o700); err != nil {
			return fmt.Errorf("devstack: %w", err)
		}
		if err := a.own(path); err != nil {
			return fmt.Errorf("devstack: %w", err)
		}
	}
	return nil
}

func socketDir(dir string) string { return filepath.Join(dir, "pg") }
func dataDir(dir string) string   { return filepath.Join(dir, "data") }
func redisDir(dir string) string  { return filepath.Join(dir, "redis") }

// randomHex gives n random bytes in hexadecimal.
func randomHex(n int) (string, error) {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("devstack: %w", err)
	}
	return hex.EncodeToString(b), nil
}
