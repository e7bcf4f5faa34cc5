<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.16" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1">
      <colorPalette>
        <paletteEntry value="0" color="#a7abb3" alpha="255" label="unknown"/>
        <paletteEntry value="1" color="#fff6d5" alpha="255" label="very low"/>
        <paletteEntry value="2" color="#fddf8b" alpha="255" label="low"/>
        <paletteEntry value="3" color="#f7a64a" alpha="255" label="moderate"/>
        <paletteEntry value="4" color="#e2603b" alpha="255" label="high"/>
        <paletteEntry value="5" color="#720d3d" alpha="255" label="very high"/>
      </colorPalette>
    </rasterrenderer>
  </pipe>
</qgis>
