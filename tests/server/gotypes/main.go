// Writes the requests that Kubernetes and Gatekeeper send, and reads the answers that they expect, with their own types.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	provider "github.com/open-policy-agent/frameworks/constraint/pkg/apis/externaldata/v1beta1"
	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"
	"github.com/open-policy-agent/opa/ast"
	admission "k8s.io/api/admission/v1"
	apps "k8s.io/api/apps/v1"
	authentication "k8s.io/api/authentication/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const image = "registry.example/org/os:v1"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "requests" {
		requests()
		return
	}
	answers()
}

func review(group, version, kind, resource string, operation admission.Operation, object, before any) any {
	raw := func(value any) runtime.RawExtension {
		if value == nil {
			return runtime.RawExtension{}
		}
		return runtime.RawExtension{Raw: encode(value)}
	}
	gvk := meta.GroupVersionKind{Group: group, Version: version, Kind: kind}
	gvr := meta.GroupVersionResource{Group: group, Version: version, Resource: resource}
	no := false
	return admission.AdmissionReview{
		TypeMeta: meta.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admission.AdmissionRequest{
			UID: "705ab4f5-6393-11e8-b7cc-42010a800002", Kind: gvk, Resource: gvr, RequestKind: &gvk,
			RequestResource: &gvr, Name: "machines", Namespace: "fleet", Operation: operation,
			UserInfo: authentication.UserInfo{Username: "admin", Groups: []string{"system:authenticated"}},
			Object:   raw(object), OldObject: raw(before), DryRun: &no,
			Options: raw(meta.CreateOptions{TypeMeta: meta.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "CreateOptions"}}),
		},
	}
}

func custom(apiVersion, kind string, spec map[string]any) any {
	return map[string]any{
		"apiVersion": apiVersion, "kind": kind, "spec": spec,
		"metadata": map[string]any{"name": "machines", "namespace": "fleet"},
	}
}

func requests() {
	pod := core.PodSpec{
		InitContainers: []core.Container{{Name: "first", Image: "registry.example/org/first:v1"}},
		Containers:     []core.Container{{Name: "os", Image: image}},
		Volumes:        []core.Volume{{Name: "empty", VolumeSource: core.VolumeSource{EmptyDir: &core.EmptyDirVolumeSource{}}}},
	}
	named := meta.ObjectMeta{Name: "machines", Namespace: "fleet"}
	plan := map[string]any{
		"concurrency": 1, "version": "v1", "serviceAccountName": "system-upgrade",
		"upgrade": map[string]any{"image": "registry.example/org/os", "command": []string{"/usr/sbin/suc-upgrade"}},
	}
	found := map[string]any{
		"pod": review("", "v1", "Pod", "pods", admission.Create,
			core.Pod{TypeMeta: meta.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: named, Spec: pod}, nil),
		"deployment": review("apps", "v1", "Deployment", "deployments", admission.Update,
			apps.Deployment{
				TypeMeta: meta.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: named,
				Spec: apps.DeploymentSpec{Template: core.PodTemplateSpec{Spec: pod}},
			},
			apps.Deployment{ObjectMeta: named}),
		"plan": review("upgrade.cattle.io", "v1", "Plan", "plans", admission.Create,
			custom("upgrade.cattle.io/v1", "Plan", plan), nil),
		"managedosimage": review("elemental.cattle.io", "v1beta1", "ManagedOSImage", "managedosimages", admission.Create,
			custom("elemental.cattle.io/v1beta1", "ManagedOSImage", map[string]any{"osImage": image}), nil),
		"delete": review("", "v1", "Pod", "pods", admission.Delete, nil,
			core.Pod{TypeMeta: meta.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: named, Spec: pod}),
		"provider": externaldata.ProviderRequest{
			APIVersion: "externaldata.gatekeeper.sh/v1beta1", Kind: "ProviderRequest",
			Request: externaldata.Request{Keys: []string{image, "registry.example/org/other:v1"}},
		},
	}
	fmt.Println(string(encode(found)))
}

// Reads lines of {"as": ..., "body": ...}, and says of each whether the type that awaits it takes it.
func answers() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var asked struct {
			As   string          `json:"as"`
			Body json.RawMessage `json:"body"`
		}
		told := "ok"
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			told = err.Error()
		} else if err := read(asked.As, asked.Body); err != nil {
			told = err.Error()
		}
		fmt.Println(told)
	}
}

func read(as string, body []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if as == "rego" {
		var text string
		if err := decoder.Decode(&text); err != nil {
			return err
		}
		_, err := ast.ParseModule("template.rego", text)
		return err
	}
	if as == "manifest" {
		var found provider.Provider
		if err := decoder.Decode(&found); err != nil {
			return err
		}
		if found.Spec.URL == "" || found.Spec.Timeout <= 0 || found.Spec.CABundle == "" {
			return fmt.Errorf("found %+v", found.Spec)
		}
		return nil
	}
	if as == "provider" {
		var found externaldata.ProviderResponse
		if err := decoder.Decode(&found); err != nil {
			return err
		}
		if found.APIVersion != "externaldata.gatekeeper.sh/v1beta1" || found.Kind != "ProviderResponse" {
			return fmt.Errorf("found %s %s", found.APIVersion, found.Kind)
		}
		return nil
	}
	var found admission.AdmissionReview
	if err := decoder.Decode(&found); err != nil {
		return err
	}
	switch {
	case found.APIVersion != "admission.k8s.io/v1" || found.Kind != "AdmissionReview":
		return fmt.Errorf("found %s %s", found.APIVersion, found.Kind)
	case found.Response == nil || found.Response.UID != "705ab4f5-6393-11e8-b7cc-42010a800002":
		return fmt.Errorf("the response has not the request's uid")
	case (found.Response.PatchType == nil) != (found.Response.Patch == nil):
		return fmt.Errorf("a patch and its type belong together")
	case found.Response.PatchType != nil && *found.Response.PatchType != admission.PatchTypeJSONPatch:
		return fmt.Errorf("found the patch type %s", *found.Response.PatchType)
	case !found.Response.Allowed && (found.Response.Result == nil || found.Response.Result.Message == ""):
		return fmt.Errorf("a denial says why")
	}
	return nil
}

func encode(value any) []byte {
	found, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return found
}
