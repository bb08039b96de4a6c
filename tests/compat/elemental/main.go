// What elemental-cli v0.3.1 itself finds in a tree. Lines come on standard input, their fields parted by tabs:
//
//	boot ROOT      the kernel and the initrd that build-iso copies (FindKernelInitrd)
//	efi ROOT ARCH  whether the EFI loaders of an ISO can be copied (GreenLiveBootLoader.PrepareEFI)
//	make ROOT      whether the directories of mount points can be made (CreateDirStructure)
//	size ROOT      the MiB that DirSizeMB gives
//
// Each is answered by one line: what was found, parted by tabs, or "error" and the reason.
package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rancher/elemental-cli/pkg/config"
	"github.com/rancher/elemental-cli/pkg/elemental"
	"github.com/rancher/elemental-cli/pkg/live"
	v1 "github.com/rancher/elemental-cli/pkg/types/v1"
	"github.com/rancher/elemental-cli/pkg/utils"
)

func main() {
	logger := v1.NewNullLogger()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		answer, err := ask(logger, fields)
		if err != nil {
			answer = "error\t" + strings.ReplaceAll(err.Error(), "\n", " ")
		}
		fmt.Println(answer)
	}
}

func ask(logger v1.Logger, fields []string) (string, error) {
	cfg := config.NewBuildConfig(config.WithLogger(logger))
	root := fields[1]
	switch fields[0] {
	case "boot":
		kernel, initrd, err := elemental.NewElemental(&cfg.Config).FindKernelInitrd(root)
		return fmt.Sprintf("found\t%s\t%s", kernel, initrd), err
	case "efi":
		platform, err := v1.NewPlatformFromArch(fields[2])
		if err != nil {
			return "", err
		}
		cfg.Platform = platform
		target, err := os.MkdirTemp("", "efi")
		if err != nil {
			return "", err
		}
		defer os.RemoveAll(target)
		err = live.NewGreenLiveBootLoader(cfg, &v1.LiveISO{}).PrepareEFI(root, filepath.Join(target, "uefi"))
		return "found", err
	case "make":
		return "found", utils.CreateDirStructure(cfg.Fs, root)
	case "size":
		size, err := utils.DirSizeMB(cfg.Fs, root)
		return fmt.Sprintf("found\t%d", size), err
	}
	return "", fmt.Errorf("no such question: %s", fields[0])
}
