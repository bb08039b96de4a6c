module cosinspect.test/gotar

go 1.20
