// Gatekeeper's own driver: it compiles a template, asks a provider through its client and cache, and says what is violated.
//
// The first line of the input has provider, template, constraint and the seconds that answers are kept; each further line is a
// review, answered by a line with the messages.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	provider "github.com/open-policy-agent/frameworks/constraint/pkg/apis/externaldata/unversioned"
	templatesv1 "github.com/open-policy-agent/frameworks/constraint/pkg/apis/templates/v1"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client/drivers/rego"
	"github.com/open-policy-agent/frameworks/constraint/pkg/core/templates"
	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

const target = "admission.k8s.gatekeeper.sh"

type scene struct {
	Provider   provider.Provider              `json:"provider"`
	Template   templatesv1.ConstraintTemplate `json:"template"`
	Constraint map[string]any                 `json:"constraint"`
	Seconds    float64                        `json:"seconds"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	lines.Scan()
	var given scene
	must(json.Unmarshal(lines.Bytes(), &given))

	ctx := context.Background()
	providers := externaldata.NewCache()
	must(providers.Upsert(&given.Provider))
	kept := externaldata.NewProviderResponseCache(ctx, time.Duration(given.Seconds*float64(time.Second)))
	driver, err := rego.New(rego.AddExternalDataProviderCache(providers), rego.AddExternalDataProviderResponseCache(kept))
	must(err)

	scheme := runtime.NewScheme()
	must(templatesv1.AddToScheme(scheme))
	var template templates.ConstraintTemplate
	must(scheme.Convert(&given.Template, &template, nil))
	must(driver.AddTemplate(ctx, &template))
	constraint := &unstructured.Unstructured{Object: given.Constraint}
	must(driver.AddConstraint(ctx, constraint))
	fmt.Println("ready")

	for lines.Scan() {
		var review map[string]any
		must(json.Unmarshal(lines.Bytes(), &review))
		answer, err := driver.Query(ctx, target, []*unstructured.Unstructured{constraint}, review)
		must(err)
		messages := []string{}
		for _, each := range answer.Results {
			messages = append(messages, each.Msg)
		}
		told, err := json.Marshal(messages)
		must(err)
		fmt.Println(string(told))
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
