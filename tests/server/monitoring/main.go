// Reads objects of Prometheus' operator, one a line as JSON, with the operator's own types; prints "ok" or the error of each.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var kind struct {
			APIVersion, Kind string
		}
		if err := json.Unmarshal(lines.Bytes(), &kind); err != nil {
			fmt.Println(err)
			continue
		}
		objects := map[string]any{
			monitoring.ServiceMonitorsKind: &monitoring.ServiceMonitor{},
			monitoring.PrometheusRuleKind:  &monitoring.PrometheusRule{},
		}
		object, known := objects[kind.Kind]
		if !known || kind.APIVersion != monitoring.SchemeGroupVersion.String() {
			fmt.Printf("unknown: %s %s\n", kind.APIVersion, kind.Kind)
			continue
		}
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(object); err != nil {
			fmt.Println(err)
			continue
		}
		if monitor, is := object.(*monitoring.ServiceMonitor); is {
			for _, endpoint := range monitor.Spec.Endpoints {
				if err := endpoint.TLSConfig.Validate(); err != nil {
					fmt.Println(err)
				}
			}
		}
		fmt.Println("ok")
	}
}
